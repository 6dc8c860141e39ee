"""The tool itself. It reads its key from the environment, as it would without a proxy, and never has the real one."""

import os
import sys
import urllib.request


def ask(question: str) -> str:
    request = urllib.request.Request(
        "https://warehouse.internal.example.com/v1/query",
        data=question.encode(),
        headers={"Authorization": f"Bearer {os.environ['WAREHOUSE_API_KEY']}"},
    )
    with urllib.request.urlopen(request, timeout=10) as response:
        return response.read().decode()


if __name__ == "__main__":
    print(ask(" ".join(sys.argv[1:]) or "select 1"))
