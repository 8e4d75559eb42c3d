# Runs one action that is written in Python, for the daemon at the other end of the pipes: a request a line
# comes in, an answer a line goes out. What the action prints goes to standard error, and what it starts can
# read nothing: the pipes are the driver's alone.
import importlib.util, json, os, sys
from collections.abc import MutableMapping

requests = os.fdopen(os.dup(0), encoding="utf-8")
answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
os.dup2(2, 1)


def say(answer):
    answers.write(json.dumps(answer) + "\n")
    answers.flush()


def receive():
    line = requests.readline()
    if not line:
        sys.exit(0)
    return json.loads(line)


class Info(MutableMapping):
    """What is known of a ban. Values are asked for when they are needed: some cost time."""

    def __init__(self, names):
        self.names, self.own = list(names), {}

    def __getitem__(self, name):
        if name in self.own:
            value = self.own[name]
            return value() if callable(value) else value
        if name not in self.names and not str(name).startswith("F-"):
            raise KeyError(name)
        say({"ask": str(name)})
        self.own[name] = receive()["value"]
        return self.own[name]

    def __setitem__(self, name, value):
        self.own[name] = value

    def __delitem__(self, name):
        self.own.pop(name, None)
        if name in self.names:
            self.names.remove(name)

    def __iter__(self):
        return iter(self.names + [n for n in self.own if n not in self.names])

    def __len__(self):
        return len(list(iter(self)))

    def copy(self):
        other = Info(self.names)
        other.own = dict(self.own)
        return other


class Jail:
    """What an action may ask of its jail."""

    database = None

    def __init__(self, name, bantime):
        self.name, self.bantime, self.actions = name, bantime, self

    def getBanTime(self):
        return self.bantime

    def __str__(self):
        return self.name


def load(request):
    spec = importlib.util.spec_from_file_location("action", request["file"])
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.Action(Jail(request["jail"], request["bantime"]), request["name"], **request["params"])


action = None
while True:
    request = receive()
    answer = {"done": True}
    try:
        if request["op"] == "load":
            action = load(request)
            answer["has"] = [n for n in ("start", "stop", "ban", "unban", "reban", "prolong", "flush") if callable(getattr(action, n, None))]
            answer["norestored"] = bool(getattr(action, "norestored", False))
        else:
            method = getattr(action, request["op"])
            if "names" in request:
                method(Info(request["names"]))
            else:
                method()
    except SystemExit:
        raise
    except BaseException as e:
        if isinstance(e, ModuleNotFoundError):
            answer["missing"] = e.name or ""
        answer["error"] = "%s: %s" % (type(e).__name__, e)
    say(answer)
