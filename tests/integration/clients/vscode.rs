//! A kernel as VS Code's Jupyter extension drives it. VS Code itself does not run here: what it
//! sends is by the sources of the extension (`kernel.ts`, `cellExecution.ts`, `helpers.ts`) and of
//! the editor (`CellUri`, `NotebookTextModel`).

use serde_json::json;

use super::{each, runs, stored};
use crate::support::kernel::Home;
use crate::support::{Database, Relay};

/// What the extension runs in a new kernel, without history.
const ITS_OWN: &str = "
try:
    import ipywidgets as _VSCODE_ipywidgets
    print(\"e976ee50-99ed-4aba-9b6b-9dcd5634d07d:IPyWidgets:\" + _VSCODE_ipywidgets.__version__)
    del _VSCODE_ipywidgets
except:
    pass
";

#[tokio::test(flavor = "multi_thread")]
async fn a_notebook_in_vs_code_is_known_by_its_path_and_its_cells_by_their_numbers() {
    let database = Database::new().await;
    let relay = Relay::start(&database, &[]).await;
    let home = Home::new();
    let notebook = home.folder.join("lessons/単元1.ipynb").display().to_string();
    let mut kernel = home.kernel(&relay.url.to_string(), &[("JPY_SESSION_NAME", "")]).await;
    kernel.run_silently(ITS_OWN).await;
    kernel.run_silently(&format!("__vsc_ipynb_file__ = \"{notebook}\"")).await;
    let address = |fragment: &str| format!("vscode-notebook-cell:{notebook}#{fragment}");
    // The third cell, the eighth, and the third again.
    for (fragment, code) in [
        ("W2sZmlsZQ%3D%3D", "6 * 7"),
        ("X10sZmlsZQ%3D%3D", "1 / 0"),
        ("W2sZmlsZQ%3D%3D", "'again'"),
    ] {
        kernel.run_cell(&address(fragment), code).await;
    }
    let outputs = kernel.run_cell(&address("W4sZmlsZQ%3D%3D"), "%hand").await;
    assert_eq!(outputs.len(), 1, "{outputs:?}");
    // The extension asks for variables between the cells.
    kernel.run_silently("print(dir())").await;

    let rows = runs(&database, 3).await;
    assert_eq!(rows.len(), 3, "{:?}", each(&rows, "code"));
    assert_eq!(each(&rows, "notebookPath"), [&json!("lessons/単元1.ipynb"); 3]);
    let ids = ["vscode-2", "vscode-7", "vscode-2"].map(|id| json!(id));
    assert_eq!(each(&rows, "cellId"), ids.each_ref());
    assert_eq!(each(&rows, "cellIndex"), [&json!(2), &json!(7), &json!(2)]);
    assert_eq!(each(&rows, "executionCount"), [&json!(1), &json!(2), &json!(3)]);
    assert_eq!(rows[1]["errorMessage"], "ZeroDivisionError: division by zero");
    kernel.shut_down().await;
    let helps = stored(&database, "help").await;
    assert_eq!(helps[0]["cellId"], "vscode-2", "where the student is");
}
