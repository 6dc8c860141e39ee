// A workload: the AWS SDK for Go with placeholder keys puts an object and gets it back. s3_client ENDPOINT
package main

import (
	"context"
	"fmt"
	"io"
	"log"
	"os"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/s3"
)

func main() {
	client := s3.New(s3.Options{
		Region:           "eu-west-1",
		BaseEndpoint:     aws.String(os.Args[1]),
		Credentials:      credentials.NewStaticCredentialsProvider("AKIAPLACEHOLDER", "placeholder", ""),
		RetryMaxAttempts: 1,
	})
	ctx := context.Background()
	key := aws.String("by go/a b+é.txt")
	body := strings.NewReader("by the SDK for Go")
	if _, err := client.PutObject(ctx, &s3.PutObjectInput{Bucket: aws.String("bucket"), Key: key, Body: body}); err != nil {
		log.Fatal(err)
	}
	answer, err := client.GetObject(ctx, &s3.GetObjectInput{Bucket: aws.String("bucket"), Key: key})
	if err != nil {
		log.Fatal(err)
	}
	text, err := io.ReadAll(answer.Body)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Print(string(text))
}
