# Autobahn's test suite (Python 2): its fuzzing server as it is, and its fuzzing client through a proxy where the
# specification of a server names one. The first argument is the folder that it is installed in.
import site
import sys

sys.dont_write_bytecode = True

site.addsitedir(sys.argv.pop(1))

from autobahn.twisted.websocket import WebSocketClientFactory
from autobahntestsuite.fuzzing import FuzzingClientFactory
from autobahntestsuite.wstest import run


def set_session_parameters(self, *args, **kwargs):
    if hasattr(self, "currServer"):
        kwargs["proxy"] = self.spec["servers"][self.currServer].get("proxy")
    WebSocketClientFactory.setSessionParameters(self, *args, **kwargs)


FuzzingClientFactory.setSessionParameters = set_session_parameters
run()
