"""A workload: google-auth with a key file that means nothing. google_client.py access|identity KEYFILE URL AUDIENCE"""

import sys

from google.auth.transport.requests import AuthorizedSession
from google.oauth2 import service_account

kind, keyfile, url, audience = sys.argv[1:]
if kind == "identity":
    credentials = service_account.IDTokenCredentials.from_service_account_file(keyfile, target_audience=audience)
else:
    scopes = ["https://www.googleapis.com/auth/cloud-platform"]
    credentials = service_account.Credentials.from_service_account_file(keyfile, scopes=scopes)
answer = AuthorizedSession(credentials).get(url, timeout=20)
answer.raise_for_status()
sys.stdout.write(answer.text)
