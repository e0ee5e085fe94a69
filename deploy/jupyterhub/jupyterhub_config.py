# A JupyterHub with progress-relay as one of its services: students' servers post with the token
# that they have anyway, and instructors sign in with their account of the hub.
#
# Take over what stands between the lines into your own jupyterhub_config.py. It works with
# JupyterHub 5 and 6. README.md beside this file says what each part is for, and how to try it.

import os

c = get_config()  # noqa: F821

# --------------------------------------------------------------------------------------------------

# Where the relay listens, and how students' servers reach it. Where they run on other machines or
# in containers, write the address of the hub's proxy: https://HUB/services/relay.
relay_bind = os.environ.get("RELAY_BIND", "127.0.0.1:10101")
relay_url = os.environ.get("RELAY_URL", f"http://{relay_bind}/services/relay")

# The hub starts the relay, and starts it again should it end. It tells the relay by variables
# where the hub is, which token is the relay's, and that its paths begin with /services/relay/.
c.JupyterHub.services = [
    {
        "name": "relay",
        "url": f"http://{relay_bind}",
        "command": [
            os.environ.get("PROGRESS_RELAY", "progress-relay"),
            "serve",
            "--bind",
            relay_bind,
            # The hub's proxy says under which name and scheme browsers see it.
            "--trusted-proxy",
            "127.0.0.1",
            # Members of the group instructors-algebra instruct the class algebra; those of the
            # group algebra are its students.
            "--instructors",
            "instructors-{class}",
            "--students",
            "{class}",
            "--operators",
            "relay-operators",
        ],
        "environment": {
            # Where the events are stored: postgres://… (with a password, in a file that only the
            # hub's user may read). Without it the relay starts a private PostgreSQL.
            name: os.environ[name]
            for name in ("DATABASE_URL", "RELAY_DATA_DIR", "RELAY_LOG")
            if name in os.environ
        },
        # A page that asks each instructor whether the relay may know its name helps nobody.
        "oauth_no_confirm": True,
    }
]

# With a token that is the same after a restart of the hub, instructors stay signed in. Make it
# with: openssl rand -hex 32
if "RELAY_HUB_TOKEN" in os.environ:
    c.JupyterHub.services[0]["api_token"] = os.environ["RELAY_HUB_TOKEN"]

# Who may use the relay at all, in any class: `user` are all people of the hub, `server` are their
# servers, which have a token of their own (JUPYTERHUB_API_TOKEN). The other scopes are those that
# these two roles have without this file.
c.JupyterHub.load_roles = [
    {"name": "user", "scopes": ["self", "access:services!service=relay"]},
    {
        "name": "server",
        "scopes": [
            "users:activity!user",
            "access:servers!server",
            "access:services!service=relay",
        ],
    },
]

# Who is in which class. Groups can come from the authenticator just as well
# (c.Authenticator.manage_groups), or be edited on the hub's admin page.
c.JupyterHub.load_groups = {
    "algebra": {"users": ["ada", "blaise"]},
    "instructors-algebra": {"users": ["emmy"]},
    "physics": {"users": ["isaac"]},
    "instructors-physics": {"users": ["lise"]},
    "relay-operators": {"users": []},
}

# What a client in a student's server needs to know beside its JUPYTERHUB_API_TOKEN.
c.Spawner.environment = {"PROGRESS_RELAY_URL": f"{relay_url}/student-progress"}

# --------------------------------------------------------------------------------------------------
