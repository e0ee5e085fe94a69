//! A lesson in a real kernel: each run is a row, and the student's notebook is as it would be
//! without the client.

use serde_json::{Value, json};

use super::{each, reported, runs, stored};
use crate::support::kernel::Home;
use crate::support::{Database, Relay, text, within};

/// What a student types, and the error and the result that are stored.
const LESSON: &[(&str, Option<&str>, Option<&str>)] = &[
    ("6 * 7", None, Some("42")),
    ("_ + 1", None, Some("43")),
    ("print('こんにちは')", None, Some("こんにちは")),
    ("1 / 0", Some("ZeroDivisionError: division by zero"), None),
    ("x = = 1", Some("SyntaxError: invalid syntax"), None),
    ("raise ValueError('一つ\\n二つ')", Some("ValueError: 一つ\n二つ"), None),
    (
        "import asyncio\nprint('asleep')\nawait asyncio.sleep(0.05)\nprint('awake')\n'slept'",
        None,
        Some("asleep\nawake\n'slept'"),
    ),
    (
        "print(1); print(2, end='')\nimport sys; print('no result', file=sys.stderr)\n3",
        None,
        Some("1\n23"),
    ),
    ("%%time\npass", None, None),
    ("'\\ud83d'", None, Some("'\\ud83d'")),
    ("# \u{1f600} 日本語だけ", None, None),
    // A student's repr and str are called by IPython alone: the counters say how often.
    (
        "class R:\n    calls = 0\n    def __repr__(self):\n        R.calls += 1\n        \
         return 'R!'",
        None,
        None,
    ),
    ("R()", None, Some("R!")),
    ("R.calls", None, Some("1")),
    (
        "class Bad:\n    def __repr__(self): raise KeyError('no repr')\nBad()",
        Some("KeyError: 'no repr'"),
        None,
    ),
    (
        "class E(Exception):\n    calls = 0\n    def __str__(self):\n        E.calls += 1\n        \
         return 'E!'\nbefore = E.calls",
        None,
        None,
    ),
    ("import sys; sys.exit(3)", Some("SystemExit: 3"), None),
    ("[name for name in dir() if 'relay' in name or 'progress' in name]", None, Some("[]")),
];

/// What a cell has shown, without what differs from run to run although nothing is wrong.
fn comparable(outputs: &[Value]) -> Vec<Value> {
    let mut shown: Vec<Value> = Vec::new();
    for output in outputs {
        let text = output["text"].as_str().unwrap_or_default();
        if text.contains("time:") || text.contains("times:") {
            continue;
        }
        let last = shown.last_mut().filter(|last| {
            output["type"] == "stream" && last["type"] == "stream" && last["name"] == output["name"]
        });
        match (output["type"].as_str(), last) {
            // What is printed in one cell may come in several pieces.
            (_, Some(last)) => last["text"] = json!(text_of(last) + text),
            // The file's name in a traceback has the process's id.
            (Some("error"), _) => shown.push(json!([output["ename"], output["evalue"]])),
            _ => shown.push(output.clone()),
        }
    }
    shown
}

fn text_of(output: &Value) -> String {
    output["text"].as_str().unwrap_or_default().to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn each_run_is_a_row_and_the_notebook_is_as_it_would_be_without() {
    let database = Database::new().await;
    let relay = Relay::start(&database, &[]).await;
    let home = Home::new();
    let url = relay.url.to_string();
    let mut kernel = home.kernel(&url, &[]).await;
    let mut plain = home.kernel(&url, &[("PROGRESS_RELAY", "off")]).await;
    for (code, ..) in LESSON {
        let (with, without) = (kernel.run(code).await, plain.run(code).await);
        assert_eq!(comparable(&with), comparable(&without), "{code}");
    }
    // An error's text is asked for as often as without the client.
    let raise = "try:\n    calls = E.calls\nfinally:\n    pass\nraise E()";
    for kernel in [&mut kernel, &mut plain] {
        kernel.run(raise).await;
    }
    let (with, without) = (kernel.run("E.calls").await, plain.run("E.calls").await);
    assert_eq!(comparable(&with), comparable(&without));

    let rows = runs(&database, LESSON.len() + 2).await;
    assert_eq!(rows.len(), LESSON.len() + 2, "the plain kernel has sent nothing");
    for (number, (row, (code, error, result))) in rows.iter().zip(LESSON).enumerate() {
        let number = number + 1;
        assert_eq!(text(row, "code"), *code);
        assert_eq!(row["executionCount"], number, "{code}");
        assert_eq!(text(row, "cellId"), format!("cell-{number}"));
        assert_eq!(row["hasError"], error.is_some(), "{row}");
        assert_eq!(row["errorMessage"].as_str(), *error, "{code}");
        if !code.starts_with("%%time") {
            assert_eq!(row["result"].as_str(), *result, "{row}");
        }
        assert!(row["executionDurationMs"].is_i64(), "{row}");
        assert_eq!(text(row, "userId"), "ada");
        assert_eq!(text(row, "notebookPath"), "unit1.ipynb");
        assert_eq!(text(row, "cellType"), "code");
    }
    let slept = &rows[6]["executionDurationMs"];
    assert!(slept.as_i64().is_some_and(|slept| (50..5000).contains(&slept)), "{slept}");
    assert_eq!(stored(&database, "notebook_opened").await.len(), 1);
    assert_eq!(kernel.outputs().await, Vec::<Value>::new(), "nothing comes unasked");

    // After a restart the counting begins again, in another session.
    kernel.restart().await;
    kernel.run_cell("cell-1", "6 * 7").await;
    let rows = runs(&database, LESSON.len() + 3).await;
    let (first, again) = (&rows[0], &rows[rows.len() - 1]);
    assert_eq!(each(&[first.clone(), again.clone()], "executionCount"), [&json!(1), &json!(1)]);
    assert_ne!(first["sessionId"], again["sessionId"]);
    kernel.shut_down().await;
    plain.shut_down().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn large_cells_interrupts_forks_and_an_exit_are_recorded_too() {
    let database = Database::new().await;
    let relay = Relay::start(&database, &[]).await;
    let home = Home::new();
    let mut kernel = home.kernel(&relay.url.to_string(), &[]).await;

    let large = format!("x = '{}'\nlen(x)", "あ".repeat(3_500_000));
    kernel.run(&large).await;
    kernel.run("print('y' * 1_000_000)\n'z' * 1_000_000").await;
    kernel.begin("print('begun')\nimport time\nwhile True: time.sleep(0.01)").await;
    within("the cell to print", async {
        while !kernel.outputs().await.iter().any(|output| output["text"] == "begun\n") {}
    })
    .await;
    kernel.interrupt().await;
    kernel.end().await;
    kernel.run("import asyncio\nasyncio.current_task().cancel()\nawait asyncio.sleep(1)").await;
    let fork = "import os\npid = os.fork()\nif pid == 0:\n    os._exit(0)\nos.waitpid(pid, 0)[1]";
    kernel.run(fork).await;
    let pool = "from multiprocessing import get_context\n\
                with get_context('fork').Pool(2) as pool:\n    print(pool.map(abs, [-1, -2]))";
    kernel.run(pool).await;
    let nested = "shell = get_ipython()\nshell.run_cell('1', store_history=False)\n\
                  shell.run_line_magic('time', '2')";
    kernel.run(nested).await;
    kernel.run("   ").await;
    kernel.run("exit").await;

    let rows = runs(&database, 8).await;
    assert_eq!(rows.len(), 8, "{:?}", each(&rows, "code"));
    assert_eq!(text(&rows[0], "code").chars().count(), 128 * 1024);
    assert_eq!(rows[0]["cut"], json!(["code"]));
    assert_eq!(text(&rows[0], "result"), "3500000");
    assert_eq!(rows[1]["cut"], json!(["result"]));
    assert_eq!(text(&rows[1], "result").len(), 32 * 1024);
    assert_eq!(rows[2]["errorMessage"], "KeyboardInterrupt");
    assert_eq!(rows[3]["hasError"], true, "{}", rows[3]);
    assert_eq!(rows[4]["result"], "0");
    assert_eq!(rows[5]["result"], "[1, 2]");
    assert_eq!(text(&rows[6], "code"), nested);
    assert_eq!(text(&rows[7], "code"), "exit");
    kernel.shut_down().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_sent_is_what_the_policy_allows_and_off_is_off() {
    let database = Database::new().await;
    let relay = Relay::start(&database, &[]).await;
    let url = relay.url.to_string();
    let home = Home::new();
    for (capture, members) in [
        ("no-output", ["code", "errorMessage"].as_slice()),
        ("no-code", &["result", "errorMessage"]),
        ("metadata", &["errorMessage"]),
        // Misspelt: no more than the least is sent.
        ("no-cod", &["errorMessage"]),
    ] {
        let mut kernel = home.kernel(&url, &[("RELAY_CAPTURE", capture)]).await;
        let before = stored(&database, "cell_executed").await.len();
        kernel.run("print('secret')\nraise ValueError('of mine')").await;
        let row = runs(&database, before + 1).await.pop().expect("a row");
        for name in ["code", "result", "errorMessage"] {
            assert_eq!(row.get(name).is_some(), members.contains(&name), "{capture}: {row}");
        }
        let all = members.contains(&"code") || members.contains(&"result");
        let error = if all { "ValueError: of mine" } else { "ValueError" };
        assert_eq!(row["errorMessage"], error, "{capture}");
        kernel.shut_down().await;
    }

    let mut kernel = home.kernel(&url, &[]).await;
    assert!(kernel.progress().await.contains("recording   on"));
    kernel.run("'before'").await;
    kernel.run("%progress off always").await;
    kernel.run("'while it is off'").await;
    kernel.shut_down().await;
    // In every kernel to come.
    let mut kernel = home.kernel(&url, &[]).await;
    kernel.run("'still off'").await;
    assert!(kernel.progress().await.contains("recording   off"));
    kernel.run("%progress on").await;
    kernel.run("'after'").await;
    let rows = runs(&database, 6).await;
    let results = each(&rows[4..], "result");
    assert_eq!(results, [&json!("'before'"), &json!("'after'")]);
    let report = reported(&mut kernel, "waiting     0").await;
    for part in [&url, "class algebra", "ada", "no token"] {
        assert!(report.contains(part), "{part}: {report}");
    }
    kernel.shut_down().await;
}
