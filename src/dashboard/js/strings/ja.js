// The page's texts in Japanese.

/** @import { Strings } from "./en.js" */

const digits = new Intl.NumberFormat("ja");

/** @param {number} count */
const n = (count) => digits.format(count);

/** @type {Strings} */
export const ja = {
  locale: "ja",
  name: "日本語",
  product: "progress-relay",
  skip: "ヘルプ待ちへ移動",
  title: (hands, classId) => `${hands > 0 ? `(${hands}) ` : ""}${classId} · progress-relay`,

  seconds: (s) => `${s}秒`,
  minutes: (m) => `${m}分`,
  hours: (h, m) => `${h}時間${m}分`,
  days: (d) => `${d}日`,
  ago: (age) => `${age}前`,
  justNow: "たった今",
  for: (age) => `${age}間`,

  status: {
    help: "挙手中",
    stuck: "行き詰まり",
    error: "エラー",
    active: "作業中",
    idle: "停止中",
  },
  statusHint: (status, failures, idleAfter) =>
    ({
      help: "助けを求めています",
      stuck: `同じセルで${n(failures)}回続けて失敗`,
      error: "5分以内にセルの実行が失敗",
      active: `${idleAfter}以内に操作あり`,
      idle: `${idleAfter}以上操作なし`,
    })[status],
  students: (count) => `${n(count)}人`,
  attendance: (here, absent) =>
    absent > 0 ? `${n(here + absent)}人中${n(here)}人が参加` : ja.students(here),
  runs: (count) => `実行${n(count)}回`,
  failures: (count) => `失敗${n(count)}回`,
  cell: (number) => `セル${number}`,
  cellOf: (notebook, cell) => `${notebook} · ${cell}`,
  noCell: "セル未実行",
  noNotebook: "ノートブックなし",

  picker: {
    label: "クラス",
    option: (id, count) => `${id} — ${count}`,
    none: "ほかのクラスを取得できません",
  },
  settings: {
    label: "表示",
    theme: { auto: "配色：システムに合わせる", light: "配色：ライト", dark: "配色：ダーク" },
    projector: "プロジェクター用の大きな文字",
    language: "言語",
  },
  connection: {
    label: "接続",
    loading: "読み込み中",
    connecting: "接続中",
    catching: "追いつき中",
    live: "ライブ",
    offline: (time) => (time ? `${time}からオフライン` : "接続なし"),
    resynchronising: "再同期中",
    signedOut: "サインアウト済み",
    forbidden: "このクラスの権限がありません",
    refused: "許可されていません",
    asOf: (time) =>
      `リレーに接続できません。表示は${time}時点のものです。再接続すると、その後の内容も欠けることなく届きます。`,
    unreached: "リレーに接続できません。",
    bySettings: "クラスの設定が変更されたため、授業を集計し直しています。",
    resync: "リレーの記録が置き換えられたか整理されたため、クラスを読み直しています。",
    signedOutWhy: (time) =>
      time
        ? `サインアウトされました。表示は${time}時点のものです。サインインすると、その後の内容も欠けることなく届きます。`
        : "クラスを見るにはサインインしてください。",
    signIn: "サインイン",
    signInAway:
      "利用者を確認するサービスに接続できません。リレー自体は動作しており、記録は失われません。",
    forbiddenWhy: (classId) =>
      `クラス「${classId}」を見る権限がありません。上の一覧から、権限のあるクラスを選んでください。` +
      "このクラスが必要な場合は、リレーの管理者に権限を依頼してください。",
    refusedWhy: (reason) => `このページではこのクラスを表示できません：${reason}`,
    byStream:
      "このネットワークではWebSocketを利用できないため、イベントストリームで受信しています。表示内容は同じですが、少し遅れることがあります。",
    retryIn: (seconds) => `${seconds}秒後に再試行します。`,
    retrying: "再試行しています…",
    retry: "今すぐ再試行",
  },
  account: {
    label: "サインイン中の利用者",
    role: (role) => ({ instructor: "講師", operator: "管理者" })[role] ?? role,
    signOut: "サインアウト",
    link: "プロジェクターやスマートフォン用のリンク",
    making: "リンクを作成しています…",
    hint: (minutes) =>
      `${minutes}分以内に一度だけ、別のブラウザーであなたとしてサインインできます。同じ内容を見てよい人以外には渡さないでください。`,
    failed: "リンクを作成できませんでした。もう一度お試しください。",
    copy: "コピー",
    copied: "コピーしました。",
    close: "閉じる",
  },
  rejections: {
    summary: (count, since) => `${since}から${n(count)}件の記録を受け付けられませんでした`,
    hint: "下の表示には含まれていません。受講者の拡張機能を設定した人は、ここで原因を確認できます。",
    times: (count) => `${n(count)}回`,
  },
  alerts: {
    label: "挙手の知らせ方",
    sound: "音を鳴らす",
    notification: "このページが前面にないときに通知を表示する",
    tryOut: "試す",
    example: "挙手があると、このように表示されます。",
    awake: "ページを読み込んだ後、一度クリックするまで、ブラウザーは音を鳴らしません。",
    missing: "このブラウザーではここで通知を表示できません。HTTPSが必要です。",
    denied:
      "通知がブロックされています。ブラウザーの設定で、このアドレスの通知を許可してください。",
  },
  unconfigured: {
    summary: (count) => `名前を設定していない受講者が${n(count)}人います`,
    mark: "拡張機能に本人の情報が設定されていません",
    tell:
      "受講者への伝え方：JupyterLabで「設定」›「設定エディター」›「Cell Monitor」を開き、" +
      "例として入っているメールアドレスと名前を自分のものに書き換えて、ページを再読み込みしてください。",
    hint: "それまではセッションごとに区別されます。再読み込みすると別の人として表示されます。",
  },

  overview: {
    heading: "現在のクラス",
    filter: (status, count) => `${status}：${count}。一覧をこの状態だけに絞る`,
    download: "ダウンロード",
    downloads: {
      csv: "すべての記録（表計算用CSV）",
      students: "受講者ごとの集計（CSV）",
      ndjson: "すべての記録（プログラム用NDJSON）",
      xapi: "学習記録ストア用のステートメント（xAPI）",
    },
    over: (day, time) =>
      `前回の授業が終わった時点（${day} ${time}）の表示です。次の授業は、最初の記録が届くと始まります。`,
  },
  help: {
    heading: "ヘルプ待ち",
    empty: "挙手している人はいません。",
    emptyHint: "助けを求めた人が、待ち時間の長い順にここに並びます。",
    resolve: "対応済み",
    resolving: "送信中…",
    resolveName: (name) => `${name}さんを対応済みにする`,
    failed: "リレーに届きませんでした。もう一度お試しください。",
    raised: (names) => `挙手：${names}`,
    waiting: (wait) => `待ち時間 ${wait}`,
    long: "長く待っています",
    claim: "向かいます",
    claimName: (name) => `${name}さんのところへ向かう`,
    release: "取り消す",
    releaseName: (name) => `${name}さんのところへ向かうのを取り消す`,
    going: (since) => `あなたが対応中 · ${since}`,
    isGoing: (who, since) => `${who}さんが対応中 · ${since}`,
    ownName: "ほかの講師に表示するお名前",
    cancel: "キャンセル",
  },
  stuck: {
    heading: "行き詰まり",
    empty: "行き詰まっている人はいません。",
    emptyHint: (failures) => `同じセルで${n(failures)}回続けて失敗した人がここに並びます。`,
    times: (count) => `${n(count)}回`,
    failed: (count) => `${n(count)}回続けて失敗`,
    noMessage: "エラーメッセージなし",
    loading: "…",
    more: (count) => `ほか${n(count)}人を表示`,
    fewer: "減らす",
    at: (cell, count) => `${cell}：${n(count)}`,
    filter: "セルで絞る",
  },
  grid: {
    heading: "受講者 × セル",
    notebook: "ノートブック",
    sort: "並び順",
    sorts: { attention: "対応が必要な順", name: "名前順", team: "チーム順", progress: "進捗順" },
    find: "受講者を検索",
    overview: "全員を一画面に",
    table: "表で表示",
    label: (students, cells) =>
      `受講者${n(students)}人とセル${n(cells)}個の一覧。矢印キーで移動、Enterキーで受講者を開きます。`,
    legend: {
      ok: "成功",
      mended: "失敗のあと成功",
      failed: "直前の実行が失敗",
      none: "未実行",
      here: "現在位置",
    },
    empty: "まだ実行されたセルはありません。",
    noMatch: "該当する受講者はいません。",
    student: "受講者",
    at: (name, cell, what) => `${name}、${cell}：${what}`,
    cell: {
      none: "未実行",
      ok: (runs) => `成功、${runs}`,
      mended: (runs, failures) => `成功、${runs}、${failures}`,
      failed: (runs, failures) => `失敗、${runs}、${failures}`,
    },
    pages: (from, to, of) => `${n(of)}人中 ${n(from)}〜${n(to)}`,
    previous: "前へ",
    next: "次へ",
    filtered: (status) => `${status}のみ`,
  },
  cells: {
    heading: "失敗の多いセル",
    empty: "失敗した実行はありません。",
    cell: "セル",
    students: "失敗した受講者",
    share: "実行の失敗率",
    message: "最も多いエラー",
    of: (count, total) => `${n(total)}人中${n(count)}人`,
    ofRuns: (count, total) => `${n(total)}回中${n(count)}回`,
    times: (count) => `${n(count)}回`,
    more: (count) => `ほか${n(count)}種類`,
  },
  place: {
    heading: "クラスの現在位置",
    empty: "まだ誰もセルに到達していません。",
    here: (cell, count, parts) => `${cell}：${count}。${parts}`,
    median: "半数がこのセル以降にいます",
    recent: "10分以内に操作のあった受講者",
    others: (count) => `セルに未到達：${n(count)}人`,
  },
  drawer: {
    close: "閉じる",
    id: "ID",
    team: "チーム",
    lastHeard: "最後の操作",
    executed: "実行",
    errors: "失敗",
    inARow: (count) => `連続${n(count)}回`,
    code: "最新のコード",
    result: "結果",
    error: "エラー",
    noRun: "まだセルを実行していません。",
    cells: "セル",
    timeline: "履歴",
    older: "さらに前",
    loading: "読み込み中…",
    failed: "履歴を取得できません。",
    retry: "再試行",
    beginning: "ここが最初です。",
    cut: (chars) => `${n(chars)}文字まで表示`,
    cutByRelay: "長すぎるためリレーで切り詰められました",
    execution: (count) => `[${count}]`,
    event: {
      cell_executed: "実行",
      failed: "失敗",
      not_run: "実行されなかった",
      notebook_opened: "開いた",
      notebook_saved: "保存",
      notebook_closed: "閉じた",
      help: "挙手",
      help_stop: "手を下ろした",
      help_resolved: "講師が対応済みにした",
    },
    repeats: (count) => `${n(count)}回`,
  },
  activity: {
    heading: "時間ごとの活動",
    span: (minutes) => `${minutes}分`,
    spanLabel: "期間",
    runs: "成功",
    errors: "失敗",
    help: "挙手",
    perMinute: (count) => `1分あたり実行${n(count)}回`,
    minute: (time, runs, errors, help) => {
      const hands = help > 0 ? `、挙手${n(help)}回` : "";
      return `${time}：${runs}、${errors}${hands}`;
    },
    summary: (runs, errors, hands, minutes) =>
      `直近${minutes}分：${runs}、${errors}、挙手${n(hands)}回。`,
  },
  teams: {
    heading: "チーム",
    empty: "チーム名を設定した受講者はいません。",
    team: "チーム",
    state: "受講者",
    runs: "実行",
    failing: "失敗",
    none: "チームなし",
  },
  silent: {
    heading: "反応なし",
    empty: "全員に10分以内の操作がありました。",
    since: "10分以上操作なし",
    more: (count) => `ほか${n(count)}人`,
  },
  absent: {
    heading: "まだ来ていない人",
    seen: (day) => `最後は${day}`,
    never: "参加なし",
  },
  empty: {
    heading: (classId) => `「${classId}」からはまだ何も届いていません`,
    text: "受講者が最初のセルを実行すると、このページに自動で表示されます。JupyterLab拡張機能の送信先：",
    other: "または別のクラスを選択：",
  },
  loading: "クラスを読み込んでいます…",
};
