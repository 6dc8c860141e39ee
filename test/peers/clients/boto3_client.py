"""A workload: boto3 with placeholder keys. boto3_client.py MOTO_PORT CLOUD_PORT. Prints what it did as JSON."""

import io
import json
import sys
import urllib.request

import boto3
from boto3.s3.transfer import TransferConfig
from botocore.config import Config

moto, cloud = sys.argv[1:]


def client(service, port=moto):
    # Presigned URLs of S3 carry the signature of 2006 otherwise, which no proxy can replace by one of version 4.
    config = Config(signature_version="s3v4") if service == "s3" else None
    return boto3.client(service, config=config, endpoint_url=f"https://{service}.eu-west-1.amazonaws.com:{port}")


s3 = client("s3")
small = b"by boto3 " * 1000
s3.put_object(Bucket="bucket", Key="a b/\u00e9(1)+~.txt", Body=small)
got = s3.get_object(Bucket="bucket", Key="a b/\u00e9(1)+~.txt")["Body"].read()

parts = b"a" * (5 << 20) + b"b" * 1000
s3.upload_fileobj(
    io.BytesIO(parts), "bucket", "parts", Config=TransferConfig(multipart_threshold=5 << 20, multipart_chunksize=5 << 20)
)
whole = s3.get_object(Bucket="bucket", Key="parts")["Body"].read()

# moto takes no presigned URL while it checks signatures.
there = client("s3", cloud)
there.put_object(Bucket="bucket", Key="a b", Body=small)
url = there.generate_presigned_url("get_object", Params={"Bucket": "bucket", "Key": "a b"})
presigned = urllib.request.urlopen(url, timeout=20).read()

print(
    json.dumps(
        {
            "put": got == small,
            "multipart": whole == parts,
            "presigned": presigned == small,
            "secret": client("secretsmanager").get_secret_value(SecretId="prod/key")["SecretString"],
            "listed": [o["Key"] for o in s3.list_objects_v2(Bucket="bucket", Prefix="a b/")["Contents"]],
        }
    )
)
