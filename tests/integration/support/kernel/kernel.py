# A kernel as a front end drives it, by commands that a test writes as lines of JSON.
#
# {"do": "start", "env": {...}}                       a kernel, in this environment
# {"do": "run", "code": "...", "cell": "..."}         runs a cell; answers with its outputs
# {"do": "silently", "code": "..."}                    runs what a front end asks for itself
# {"do": "begin", "code": "...", "cell": "..."}       the same, without waiting for its end
# {"do": "end"}                                       waits for the end of what was begun
# {"do": "interrupt"} {"do": "kill"} {"do": "shutdown"} {"do": "restart"}
# {"do": "outputs"}                                   outputs that no cell has asked for just now

import json
import os
import queue
import sys

from jupyter_client.manager import KernelManager

PATIENCE = 60

manager = client = begun = None


def start(env):
    global manager, client
    manager = KernelManager(kernel_name="python3")
    manager.start_kernel(env={**os.environ, **env}, stderr=sys.stderr)
    connect()


def connect():
    global client
    client = manager.client()
    client.start_channels()
    client.wait_for_ready(timeout=PATIENCE)


def begin(code, cell=None):
    global begun
    content = {
        "code": code,
        "silent": False,
        "store_history": cell is not None,
        "user_expressions": {},
        "allow_stdin": True,
        "stop_on_error": False,
    }
    metadata = {} if cell is None else {"cellId": cell}
    message = client.session.msg("execute_request", content, metadata=metadata)
    client.shell_channel.send(message)
    begun = message["header"]["msg_id"]


def output(message):
    return {"type": message["msg_type"], **message["content"]}


def end():
    """The outputs of what was begun. Those of other cells are marked as stray."""
    outputs = []
    while True:
        message = client.get_iopub_msg(timeout=PATIENCE)
        kind = message["msg_type"]
        mine = message["parent_header"].get("msg_id") == begun
        if kind == "status":
            if mine and message["content"]["execution_state"] == "idle":
                return outputs
        elif kind != "execute_input":
            outputs.append({**output(message), **({} if mine else {"stray": True})})


def outputs():
    found = []
    while True:
        try:
            message = client.get_iopub_msg(timeout=0.05)
        except queue.Empty:
            return found
        if message["msg_type"] != "status":
            found.append(output(message))


def main():
    for line in sys.stdin:
        command = json.loads(line)
        do, answer = command["do"], None
        if do == "start":
            start(command["env"])
        elif do == "begin":
            begin(command["code"], command["cell"])
        elif do == "run":
            begin(command["code"], command["cell"])
            answer = end()
        elif do == "silently":
            begin(command["code"])
            answer = end()
        elif do == "end":
            answer = end()
        elif do == "outputs":
            answer = outputs()
        elif do == "interrupt":
            manager.interrupt_kernel()
        elif do == "kill":
            client.stop_channels()
            # SIGKILL, to the kernel and to what it has started.
            manager.shutdown_kernel(now=True)
        elif do == "shutdown":
            client.stop_channels()
            manager.shutdown_kernel()
        elif do == "restart":
            client.stop_channels()
            manager.restart_kernel()
            connect()
        print(json.dumps(answer), flush=True)


try:
    main()
finally:
    if manager is not None and manager.has_kernel:
        manager.shutdown_kernel(now=True)
