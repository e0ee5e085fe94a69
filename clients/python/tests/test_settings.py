"""Who sends what to where, by the variables."""

import ntpath
import os
import tempfile
import unittest
from pathlib import Path
from unittest import mock

from progress_relay.notebook import Notebook, cell_place
from progress_relay.runs import is_own_cell
from progress_relay.settings import read


class TheSettings(unittest.TestCase):
    def test_a_jupyterhub_needs_the_relays_address_alone(self):
        settings = read(
            {
                "PROGRESS_RELAY_URL": "http://127.0.0.1:10101/services/relay/student-progress",
                "JUPYTERHUB_USER": "ada",
                "JUPYTERHUB_API_TOKEN": "of-the-server",
                "HOME": "/root",
            }
        )
        self.assertEqual(settings.url, "http://127.0.0.1:10101/services/relay")
        self.assertEqual(settings.user, "ada")
        self.assertEqual(settings.authorization(), "token of-the-server")
        self.assertEqual(settings.problems, [])

    def test_the_url_that_token_mint_prints_has_everything(self):
        url = "https://relay.example/api/v1/events?class=algebra&token=abc"
        settings = read({"RELAY_URL": url})
        self.assertEqual(settings.url, "https://relay.example")
        self.assertEqual(settings.class_id, "algebra")
        self.assertEqual(settings.authorization(), "Bearer abc")

    def test_what_is_typed_counts_before_the_environment(self):
        environment = {"RELAY_URL": "http://a.example", "RELAY_CLASS": "x", "RELAY_USER": "y"}
        settings = read(environment, url="http://b.example", class_id="algebra", user="ada")
        self.assertEqual(
            (settings.url, settings.class_id, settings.user), ("http://b.example", "algebra", "ada")
        )

    def test_without_a_variable_the_student_is_the_login_name(self):
        self.assertTrue(read({}).user)

    def test_a_wrong_value_is_named_and_sends_no_more_than_was_meant(self):
        for name, value in (
            ("RELAY_URL", "ftp://relay.example"),
            ("RELAY_URL", "http://[::1"),
            ("RELAY_URL", "http://host:port/"),
            ("RELAY_SPOOL_BYTES", "much"),
            ("RELAY_LONGEST_WAIT", "-1"),
        ):
            environment = {"RELAY_URL": "http://127.0.0.1:1", name: value}
            self.assertEqual(len(read(environment).problems), 1, (name, value))
        settings = read({"RELAY_URL": "http://127.0.0.1:1", "RELAY_CAPTURE": "no-outptu"})
        self.assertEqual(settings.capture, "metadata")

    def test_a_token_that_travels_in_clear_is_said(self):
        self.assertIn("clear", read({"RELAY_URL": "http://relay.example/?token=x"}).problems[0])
        self.assertEqual(read({"RELAY_URL": "http://127.0.0.1:8000/?token=x"}).problems, [])

    def test_no_token_is_in_the_representation(self):
        settings = read({"RELAY_URL": "https://r.example/?token=secret", "RELAY_USER": "a"})
        self.assertNotIn("secret", repr(settings))

    def test_runs_for_another_relay_class_or_student_lie_apart(self):
        folders = {
            read({"RELAY_URL": url, "RELAY_CLASS": name, "RELAY_USER": user}).spool
            for url in ("http://a.example", "http://b.example")
            for name in ("x", "y")
            for user in ("ada", "emmy")
        }
        self.assertEqual(len(folders), 8)


class TheNotebook(unittest.TestCase):
    def test_its_path_is_the_same_for_all_students(self):
        with tempfile.TemporaryDirectory() as folder:
            runtime, root = Path(folder) / "runtime", Path(folder) / "home"
            runtime.mkdir()
            text = f'{{"root_dir": "{root}", "token": "secret"}}'
            (runtime / "jpserver-42.json").write_text(text)
            environment = {
                "JPY_PARENT_PID": "42",
                "JUPYTER_RUNTIME_DIR": str(runtime),
                "JPY_SESSION_NAME": str(root / "lessons" / "単元1.ipynb"),
            }
            notebook = Notebook(None, environment)
            self.assertEqual(notebook.path({}), "lessons/単元1.ipynb")
            self.assertEqual(notebook.path({"__vsc_ipynb_file__": "/x/y/z.ipynb"}), "z.ipynb")
            self.assertNotIn("secret", repr(vars(notebook)))

    def test_a_cells_index_is_that_of_the_saved_notebook(self):
        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder) / "a.ipynb"
            file.write_text('{"cells": [{"id": "m"}, {"id": "c1"}, {}]}')
            notebook = Notebook(None, {"JPY_SESSION_NAME": str(file)})
            self.assertEqual(notebook.path({}), "a.ipynb")
            self.assertIsNone(notebook.index("c1"))
            notebook.refresh("c1")
            self.assertEqual(notebook.index("c1"), 1)
            file.write_text("no notebook")
            notebook.refresh("c9")

    def test_without_a_front_end_there_is_none(self):
        self.assertIsNone(Notebook(None, {}).path({}))
        self.assertEqual(Notebook("lesson.ipynb", {}).path({}), "lesson.ipynb")
        self.assertEqual(Notebook(None, {"JPY_SESSION_NAME": "Console 1"}).path({}), "Console 1")

    def test_a_cell_of_vs_code_is_told_by_its_number(self):
        for address, place in (
            ("vscode-notebook-cell:/home/ada/unit1.ipynb#W2sZmlsZQ%3D%3D", ("vscode-2", 2)),
            # The same cell by SSH, on Windows, and in a notebook that was never saved.
            (
                "vscode-notebook-cell://ssh-remote%2Bh/unit1.ipynb#W2sdnNjb2RlLXJlbW90ZQ%3D%3D",
                ("vscode-2", 2),
            ),
            (
                "vscode-notebook-cell:/c%3A/Users/ada/unit%201.ipynb#X10sZmlsZQ%3D%3D",
                ("vscode-7", 7),
            ),
            (
                "vscode-notebook-cell:Untitled-1.ipynb?jupyter-notebook#Y100sdW50aXRsZWQ%3D",
                ("vscode-49", 49),
            ),
            # A program with cells: each run is a cell of its own.
            (
                "vscode-notebook-cell:Interactive-1.interactive#W0sdW50aXRsZWQ%3D",
                ("W0sdW50aXRsZWQ%3D", None),
            ),
            ("vscode-notebook-cell:/a.ipynb#of-another-release", ("of-another-release", None)),
            ("vscode-notebook-cell:/a.ipynb", (None, None)),
            ("4f1c-22", ("4f1c-22", None)),
            (7, (None, None)),
        ):
            self.assertEqual(cell_place(address), place, address)

    def test_vs_code_by_a_jupyter_server_adds_nothing_to_the_name(self):
        name = "unit1-jvsc-1b4e28ba-2fa1-11d2-883f-0016d3cca427.ipynb"
        self.assertEqual(Notebook(None, {"JPY_SESSION_NAME": name}).path({}), "unit1.ipynb")

    def test_a_path_of_windows_is_relative_to_the_home_whatever_the_case(self):
        windows = mock.Mock(wraps=os, path=ntpath, sep="\\")
        home = {"USERPROFILE": "C:\\Users\\Ada"}
        with mock.patch("progress_relay.notebook.os", windows), mock.patch.dict(os.environ, home):
            notebook = Notebook(None, {})
            for file, path in (
                ("c:\\Users\\ada\\lessons\\単元1.ipynb", "lessons/単元1.ipynb"),
                ("d:\\x\\unit1.ipynb", "unit1.ipynb"),
                ("c:\\Users\\adam\\unit1.ipynb", "unit1.ipynb"),
            ):
                self.assertEqual(notebook.path({"__vsc_ipynb_file__": file}), path)

    def test_a_cell_of_our_own_magics_is_no_run(self):
        for code in ("%hand 問題3", "%load_ext progress_relay", "# help\n%progress\n\n%hand_down"):
            self.assertTrue(is_own_cell(code), code)
        for code in ("%handbook", "x = 1\n%hand", "%load_ext autoreload", "%%time\n1", "# only"):
            self.assertFalse(is_own_cell(code), code)


if __name__ == "__main__":
    unittest.main()
