//! Chromium through the DevTools protocol: the part of it that the tests of the dashboard need.

use std::collections::HashMap;
use std::process::Stdio;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use futures::{SinkExt, StreamExt};
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::net::TcpStream;
use tokio::process::{Child, Command};
use tokio::sync::{MutexGuard, mpsc, oneshot};
use tokio_tungstenite::tungstenite::Message;

use crate::support::{data_folder, until, within};

/// Without a window, and without a sandbox, which root has not: containers run the tests as root.
const FLAGS: &[&str] = &[
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-backgrounding-occluded-windows",
    "--disable-dev-shm-usage",
    "--hide-scrollbars",
    "--lang=en",
    // Names for tests of names: RFC 6761 gives `.test` to nobody.
    "--host-resolver-rules=MAP *.test 127.0.0.1",
    "--remote-debugging-port=0",
];

/// The names of the program on different systems.
const NAMES: &[&str] = &["chromium", "chromium-browser", "google-chrome", "google-chrome-stable"];

/// One browser at a time, because several would slow each other down.
static ONE: tokio::sync::Mutex<()> = tokio::sync::Mutex::const_new(());

type Answers = Arc<Mutex<HashMap<u64, oneshot::Sender<Value>>>>;

/// A browser with an empty profile, which ends when it is dropped.
pub struct Chrome {
    link: Link,
    context: String,
    _process: Child,
    _alone: MutexGuard<'static, ()>,
}

/// Sends commands to the browser and receives its answers.
#[derive(Clone)]
struct Link {
    commands: mpsc::UnboundedSender<String>,
    answers: Answers,
    /// Messages of the browser that answer no command.
    events: Arc<Mutex<Vec<Value>>>,
    next: Arc<AtomicU64>,
}

impl Link {
    async fn call(&self, session: Option<&str>, method: &str, params: Value) -> Value {
        let id = self.next.fetch_add(1, Ordering::Relaxed);
        let (sender, answer) = oneshot::channel();
        self.answers.lock().expect("answers").insert(id, sender);
        let mut command = json!({ "id": id, "method": method, "params": params });
        if let Some(session) = session {
            command["sessionId"] = session.into();
        }
        self.commands.send(command.to_string()).expect("a browser that listens");
        let answer = within(method, answer).await.expect("a browser that answers");
        assert!(answer.get("error").is_none(), "{method}: {}", answer["error"]);
        answer["result"].clone()
    }
}

impl Chrome {
    /// Starts a browser.
    pub async fn start() -> Self {
        let alone = ONE.lock().await;
        // The folder is removed with the run.
        let profile = data_folder();
        let name = NAMES.iter().copied().find(|name| is_on_path(name));
        let mut process =
            Command::new(name.expect("chromium on the PATH: make browser installs it"))
                .args(FLAGS)
                .arg(format!("--user-data-dir={}", profile.display()))
                .arg("about:blank")
                .stdin(Stdio::null())
                .stdout(Stdio::null())
                .stderr(Stdio::piped())
                .kill_on_drop(true)
                .spawn()
                .expect("a browser");
        let mut lines = BufReader::new(process.stderr.take().expect("a pipe")).lines();
        let url = within("the browser", async {
            loop {
                let line = lines.next_line().await.expect("stderr").expect("a browser that begins");
                if let Some(url) = line.strip_prefix("DevTools listening on ") {
                    return url.to_owned();
                }
            }
        })
        .await;
        tokio::spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
        let link = connect(&url).await;
        let context = link.call(None, "Target.createBrowserContext", json!({})).await;
        let context = context["browserContextId"].as_str().expect("a context").to_owned();
        Self { link, context, _process: process, _alone: alone }
    }

    /// Opens a page of 1440 × 900 at `url` and waits until it is live.
    pub async fn open(&self, url: &str) -> Page {
        let page = self.blank().await;
        page.go(url).await;
        page.until("document.documentElement.dataset.connection === 'live'").await;
        page
    }

    /// Opens a page that shows nothing yet.
    pub async fn blank(&self) -> Page {
        // In a new window, because a page behind another one gets no frames.
        let target =
            json!({ "url": "about:blank", "browserContextId": self.context, "newWindow": true });
        let target = self.link.call(None, "Target.createTarget", target).await;
        let attach = json!({ "targetId": target["targetId"], "flatten": true });
        let session = self.link.call(None, "Target.attachToTarget", attach).await;
        let session = session["sessionId"].as_str().expect("a session").to_owned();
        let page = Page { link: self.link.clone(), session, context: None };
        for domain in ["Page", "Runtime", "Log"] {
            page.call(&format!("{domain}.enable"), json!({})).await;
        }
        page.size(1440, 900, 1.0).await;
        page
    }
}

fn is_on_path(name: &str) -> bool {
    std::env::var_os("PATH")
        .is_some_and(|path| std::env::split_paths(&path).any(|folder| folder.join(name).is_file()))
}

async fn connect(url: &str) -> Link {
    let address = url.trim_start_matches("ws://").split('/').next().expect("an address");
    let stream = TcpStream::connect(address).await.expect("the browser's port");
    let (socket, _) =
        tokio_tungstenite::client_async(url, stream).await.expect("the browser's socket");
    let (mut sink, mut stream) = socket.split();
    let (commands, mut waiting) = mpsc::unbounded_channel::<String>();
    let answers = Answers::default();
    let events = Arc::new(Mutex::new(Vec::new()));
    tokio::spawn(async move {
        while let Some(command) = waiting.recv().await {
            if sink.send(Message::text(command)).await.is_err() {
                return;
            }
        }
    });
    let (answered, received) = (Arc::clone(&answers), Arc::clone(&events));
    tokio::spawn(async move {
        while let Some(Ok(message)) = stream.next().await {
            let Ok(text) = message.to_text() else { continue };
            let Ok(value) = serde_json::from_str::<Value>(text) else { continue };
            match value["id"].as_u64() {
                Some(id) => {
                    let sender = answered.lock().expect("answers").remove(&id);
                    if let Some(sender) = sender {
                        // The receiver may have given up.
                        let _ = sender.send(value);
                    }
                }
                None => received.lock().expect("events").push(value),
            }
        }
    });
    Link { commands, answers, events, next: Arc::default() }
}

/// An open page, or a frame of one.
#[derive(Clone)]
pub struct Page {
    link: Link,
    session: String,
    /// Where expressions are evaluated, if it is a frame in its page's process.
    context: Option<Value>,
}

impl Page {
    /// Closes the page.
    pub async fn close(self) {
        self.call("Page.close", json!({})).await;
    }

    /// Sends a command of the protocol.
    pub async fn call(&self, method: &str, params: Value) -> Value {
        self.link.call(Some(&self.session), method, params).await
    }

    /// Loads a URL.
    pub async fn go(&self, url: &str) {
        let answer = self.call("Page.navigate", json!({ "url": url })).await;
        assert!(answer.get("errorText").is_none(), "{url}: {answer}");
    }

    /// The value of an expression, awaited if it is a promise.
    pub async fn value(&self, expression: &str) -> Value {
        let ask = self.question(expression);
        let answer = self.call("Runtime.evaluate", ask).await;
        assert!(
            answer.get("exceptionDetails").is_none(),
            "{expression}: {}",
            answer["exceptionDetails"]
        );
        answer["result"]["value"].clone()
    }

    fn question(&self, expression: &str) -> Value {
        let ask = json!({ "expression": expression, "awaitPromise": true, "returnByValue": true });
        let Some(context) = &self.context else { return ask };
        let Value::Object(mut ask) = ask else { unreachable!("an object") };
        ask.insert("contextId".to_owned(), context.clone());
        ask.into()
    }

    /// The frame of the page whose address begins so, once there is one.
    pub async fn frame(&self, url: &str) -> Self {
        until(&format!("a frame of {url}"), || self.find_frame(url)).await
    }

    /// The frame of the page whose address begins so, unless the browser has refused to show it.
    pub async fn find_frame(&self, url: &str) -> Option<Self> {
        let frame = self.frame_at(url).await?;
        let shown = frame.value("location.href").await;
        shown.as_str().is_some_and(|shown| shown.starts_with(url)).then_some(frame)
    }

    async fn frame_at(&self, url: &str) -> Option<Self> {
        let is = |frame: &Value| frame["url"].as_str().is_some_and(|own| own.starts_with(url));
        let tree = self.call("Page.getFrameTree", json!({})).await;
        let frames = tree["frameTree"]["childFrames"].as_array().cloned().unwrap_or_default();
        if let Some(frame) = frames.iter().map(|child| &child["frame"]).find(|frame| is(frame)) {
            let of = json!({ "frameId": frame["id"] });
            let world = self.call("Page.createIsolatedWorld", of).await;
            let context = Some(world["executionContextId"].clone());
            return Some(Self { link: self.link.clone(), session: self.session.clone(), context });
        }
        // A frame of another site is in a process of its own.
        let targets = self.link.call(None, "Target.getTargets", json!({})).await;
        let targets = targets["targetInfos"].as_array().expect("targets");
        let target = targets.iter().find(|target| target["type"] == "iframe" && is(target))?;
        let attach = json!({ "targetId": target["targetId"], "flatten": true });
        let session = self.link.call(None, "Target.attachToTarget", attach).await;
        let session = session["sessionId"].as_str().expect("a session").to_owned();
        let frame = Self { link: self.link.clone(), session, context: None };
        frame.call("Log.enable", json!({})).await;
        Some(frame)
    }

    /// Waits until an expression is true, and checks it once a frame.
    pub async fn until(&self, expression: &str) {
        // A page that is being left loses the expression, so it is sent again.
        let ask = format!(
            "new Promise((done) => {{ const look = () => ({expression}) ? done(true) : \
                 requestAnimationFrame(look); look(); }})"
        );
        let ask = self.question(&ask);
        let holds = async {
            loop {
                let id = self.link.next.fetch_add(1, Ordering::Relaxed);
                let (sender, answer) = oneshot::channel();
                self.link.answers.lock().expect("answers").insert(id, sender);
                let command = json!({
                    "id": id,
                    "method": "Runtime.evaluate",
                    "params": ask,
                    "sessionId": self.session,
                });
                self.link.commands.send(command.to_string()).expect("a browser that listens");
                let answer = answer.await.expect("a browser that answers");
                if answer["result"]["result"]["value"] == true {
                    return;
                }
                tokio::time::sleep(std::time::Duration::from_millis(20)).await;
            }
        };
        if tokio::time::timeout(crate::support::PATIENCE, holds).await.is_err() {
            let text = self.value("document.body.innerText").await;
            panic!(
                "waited for {expression}; the page shows: {text}; its log: {:?}",
                self.complaints()
            );
        }
    }

    /// Clicks on the first element that a selector finds.
    pub async fn click(&self, selector: &str) {
        self.until(&format!("document.querySelector({}) !== null", json!(selector))).await;
        self.value(&format!("document.querySelector({}).click()", json!(selector))).await;
    }

    /// Clicks with the mouse on the middle of what assistive technology calls so, by its role and
    /// its whole name, once there is such a thing. What covers it gets the click.
    pub async fn choose(&self, role: &str, name: &str) {
        let node = until(&format!("a {role} called {name}"), || self.called(role, name)).await;
        let of = json!({ "backendNodeId": node });
        self.call("DOM.scrollIntoViewIfNeeded", of.clone()).await;
        let model = self.call("DOM.getBoxModel", of).await;
        let corners = model["model"]["border"].as_array().expect("corners");
        let at = |from: usize| {
            let all = corners.iter().skip(from).step_by(2).filter_map(Value::as_f64);
            all.sum::<f64>() / 4.0
        };
        for kind in ["mousePressed", "mouseReleased"] {
            let click = json!({ "type": kind, "x": at(0), "y": at(1), "button": "left",
                "clickCount": 1 });
            self.call("Input.dispatchMouseEvent", click).await;
        }
    }

    async fn called(&self, role: &str, name: &str) -> Option<Value> {
        let root = self.call("DOM.getDocument", json!({ "depth": 0 })).await;
        let wanted = json!({ "nodeId": root["root"]["nodeId"], "role": role,
            "accessibleName": name });
        let found = self.call("Accessibility.queryAXTree", wanted).await;
        let nodes = found["nodes"].as_array().cloned().unwrap_or_default();
        let node = nodes.iter().find(|node| node["ignored"] != true)?;
        Some(node["backendDOMNodeId"].clone())
    }

    /// Writes a text where the focus is.
    pub async fn write(&self, text: &str) {
        self.call("Input.insertText", json!({ "text": text })).await;
    }

    /// Presses and releases a key.
    pub async fn press(&self, key: &str) {
        // By this number a browser knows the keys that move the focus and choose.
        let number = match key {
            "Tab" => 9,
            "Enter" => 13,
            "Escape" => 27,
            _ => 0,
        };
        // A form is sent by the character, not by the key.
        let text = if key == "Enter" { "\r" } else { "" };
        for kind in ["keyDown", "keyUp"] {
            let event = json!({ "type": kind, "key": key, "code": key, "text": text,
                "windowsVirtualKeyCode": number });
            self.call("Input.dispatchKeyEvent", event).await;
        }
    }

    /// Sets the size in CSS pixels, and the device's pixels for each of them.
    pub async fn size(&self, width: u32, height: u32, ratio: f64) {
        let mobile = width < 600;
        let metrics = json!({
            "width": width,
            "height": height,
            "deviceScaleFactor": ratio,
            "mobile": mobile,
        });
        self.call("Emulation.setDeviceMetricsOverride", metrics).await;
    }

    /// Sets the colour scheme of the system, `light` or `dark`.
    pub async fn scheme(&self, scheme: &str) {
        let features = json!([{ "name": "prefers-color-scheme", "value": scheme }]);
        self.call("Emulation.setEmulatedMedia", json!({ "features": features })).await;
    }

    /// A screenshot of the visible part, as PNG.
    pub async fn screenshot(&self) -> Vec<u8> {
        self.screenshot_as(json!({ "format": "png" })).await
    }

    /// A screenshot of the visible part for a document, as WebP: a quarter of a PNG's bytes.
    pub async fn small_screenshot(&self) -> Vec<u8> {
        self.screenshot_as(json!({ "format": "webp", "quality": 85 })).await
    }

    async fn screenshot_as(&self, format: Value) -> Vec<u8> {
        let answer = self.call("Page.captureScreenshot", format).await;
        BASE64_STANDARD.decode(answer["data"].as_str().expect("a picture")).expect("base64")
    }

    /// Ends a trace that was started, and returns its events.
    pub async fn trace(&self) -> Vec<Value> {
        self.call("Tracing.end", json!({})).await;
        let is = |event: &Value, method: &str| {
            event["method"] == method && event["sessionId"] == self.session.as_str()
        };
        until("the trace", || async {
            let mut events = self.link.events.lock().expect("events");
            events.iter().any(|event| is(event, "Tracing.tracingComplete")).then(|| {
                let (own, others) = events.drain(..).partition(|event| {
                    is(event, "Tracing.dataCollected") || is(event, "Tracing.tracingComplete")
                });
                *events = others;
                let own: Vec<Value> = own;
                own.iter()
                    .filter_map(|event| event["params"]["value"].as_array())
                    .flatten()
                    .cloned()
                    .collect()
            })
        })
        .await
    }

    /// Exceptions, violations of the page's policy and failed requests.
    pub fn complaints(&self) -> Vec<String> {
        let events = self.link.events.lock().expect("events");
        let own = events.iter().filter(|event| event["sessionId"] == self.session.as_str());
        own.filter_map(|event| match event["method"].as_str()? {
            "Runtime.exceptionThrown" => Some(event["params"]["exceptionDetails"].to_string()),
            "Log.entryAdded" if event["params"]["entry"]["level"] == "error" => {
                Some(event["params"]["entry"].to_string())
            }
            _ => None,
        })
        .collect()
    }
}
