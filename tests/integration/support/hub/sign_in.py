"""Signs a person in at a hub's login page as a browser does, then opens a page of a service.

sign_in.py HUB PERSON PASSWORD PAGE prints the last answer, the addresses on the way to it, and the
cookies that the browser then has.
"""

import json
import sys

import requests

hub, person, password, page = sys.argv[1:]
browser = requests.Session()
form = browser.get(f"{hub}/hub/login", timeout=20)
answer = browser.post(
    form.url,
    data={
        "username": person,
        "password": password,
        "_xsrf": browser.cookies.get("_xsrf", path="/hub/"),
    },
    # The hub's home page would start the person's server.
    allow_redirects=False,
    timeout=20,
)
assert answer.status_code == 302, (answer.status_code, answer.text)
answer = browser.get(f"{hub}{page}", timeout=20)
json.dump(
    {
        "status": answer.status_code,
        "url": answer.url,
        "body": answer.text[:4000],
        "hops": [
            {"url": hop.url, "setCookie": hop.headers.get("set-cookie", "")}
            for hop in answer.history
        ],
        "cookies": [
            {"name": cookie.name, "value": cookie.value, "path": cookie.path}
            for cookie in browser.cookies
        ],
    },
    sys.stdout,
)
