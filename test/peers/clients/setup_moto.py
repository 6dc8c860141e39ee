"""Fills a moto server: a secret, a parameter, a user with an access key, a role. From then on every
request needs a signature that moto computes as well. Prints the keys as JSON."""

import json
import sys

import boto3
import requests

endpoint, secret, parameter = sys.argv[1:]
common = {
    "endpoint_url": endpoint,
    "region_name": "eu-west-1",
    "aws_access_key_id": "setup",
    "aws_secret_access_key": "setup",
    "verify": False,
}
boto3.client("secretsmanager", **common).create_secret(Name="prod/key", SecretString=secret)
boto3.client("ssm", **common).put_parameter(Name="/prod/key", Value=parameter, Type="SecureString")
boto3.client("s3", **common).create_bucket(
    Bucket="bucket", CreateBucketConfiguration={"LocationConstraint": "eu-west-1"}
)
iam = boto3.client("iam", **common)
everything = json.dumps(
    {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "*", "Resource": "*"}]}
)
trust = json.dumps(
    {
        "Version": "2012-10-17",
        "Statement": [{"Effect": "Allow", "Action": "sts:AssumeRole", "Principal": {"AWS": "*"}}],
    }
)
iam.create_user(UserName="proxy")
iam.put_user_policy(UserName="proxy", PolicyName="everything", PolicyDocument=everything)
role = iam.create_role(RoleName="egress", AssumeRolePolicyDocument=trust)["Role"]
iam.put_role_policy(RoleName="egress", PolicyName="everything", PolicyDocument=everything)
key = iam.create_access_key(UserName="proxy")["AccessKey"]
requests.post(f"{endpoint}/moto-api/reset-auth", data=b"0", verify=False, timeout=20).raise_for_status()
print(json.dumps({"id": key["AccessKeyId"], "secret": key["SecretAccessKey"], "role": role["Arn"]}))
