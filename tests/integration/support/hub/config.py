# What a test adds to deploy/jupyterhub/jupyterhub_config.py: free ports, a folder for all files,
# people whose password is known, and services of the test's own. HUB_TEST has the values.

import json
import os

c = get_config()  # noqa: F821
given = json.loads(os.environ["HUB_TEST"])
load_subconfig(given["config"])  # noqa: F821

c.JupyterHub.bind_url = f"http://127.0.0.1:{given['port']}"
c.JupyterHub.hub_port = given["apiPort"]
c.ConfigurableHTTPProxy.api_url = f"http://127.0.0.1:{given['proxyPort']}"
c.ConfigurableHTTPProxy.command = [given["proxy"]]
c.ConfigurableHTTPProxy.pid_file = f"{given['folder']}/proxy.pid"
c.JupyterHub.db_url = f"sqlite:///{given['folder']}/hub.sqlite"
c.JupyterHub.cookie_secret = bytes.fromhex(given["cookieSecret"])
# JupyterHub 6 then refuses whoever does not prove that it began the sign-in; 5 does not know it.
c.JupyterHub.oauth_require_pkce = True
c.JupyterHub.authenticator_class = "dummy"
c.DummyAuthenticator.password = given["password"]
c.Authenticator.allow_all = True
c.JupyterHub.spawner_class = "simple"
c.SimpleLocalProcessSpawner.home_dir_template = f"{given['folder']}/home/{{username}}"
c.Spawner.default_url = "/tree"
c.Spawner.args = ["--allow-root"] if os.geteuid() == 0 else []

# The test's own hands: they start servers and make tokens for people.
c.JupyterHub.services.append({"name": "tester", "api_token": given["testerToken"]})
c.JupyterHub.load_roles.append(
    {
        "name": "tester",
        "services": ["tester"],
        "scopes": ["admin:users", "admin:servers", "tokens", "access:services"],
    }
)
# A relay that the hub does not start.
if given["outsidePort"]:
    c.JupyterHub.services = [
        {
            "name": "relay",
            "url": f"http://127.0.0.1:{given['outsidePort']}",
            "api_token": given["relayToken"],
            "oauth_no_confirm": True,
        }
    ] + c.JupyterHub.services[1:]
