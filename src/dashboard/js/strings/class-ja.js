// The page's texts in Japanese about a class's settings, its lessons and its instructors.

/** @import { ClassStrings } from "./class-en.js" */

const digits = new Intl.NumberFormat("ja");

/** @param {number} count */
const n = (count) => digits.format(count);

/** @type {ClassStrings} */
export const classJa = {
  classMenu: {
    label: "授業と設定",
    settings: "名簿・ノートブック・設定",
    newLesson: "新しい授業",
    lessons: "過去の授業",
  },
  classSettings: {
    heading: "クラスの設定",
    hint: "このクラスを見る全員に、今後の授業でも適用されます。現在の授業は集計し直されます。",
    loading: "設定を読み込んでいます…",
    cells: "セルの対応付け",
    cellsBy: { id: "セルのID", position: "ノートブック内の位置" },
    cellsHint: "受講者ごとにセルのIDが異なる場合は「位置」を選択します。",
    notebooks: "ノートブックの対応付け",
    notebooksBy: { path: "パス", name: "ファイル名" },
    notebooksHint:
      "同じノートブックを別のフォルダーやコピーで使う場合は「ファイル名」を選択します。",
    thresholds: "行き詰まりと停止中の基準",
    stuckAfter: "行き詰まりとする連続失敗回数",
    idleAfter: "停止中とする無操作の秒数",
    save: "保存",
    saving: "保存しています…",
    cancel: "キャンセル",
    failed: "設定を保存できませんでした。もう一度お試しください。",
    signedOut:
      "サインアウトしているため保存されていません。別のタブでサインインしてから保存してください。",
    wrong: "保存されていません。先に上のエラーを修正してください。",
    conflict: "その間にほかの人が設定を変更しました。何も保存されていません。",
    takeTheirs: "自分の変更を破棄して読み込む",
    inMember: (member, reason) => `${member}：${reason}`,
    unread: "設定を読み込めません。",
    close: "閉じる",
  },
  roster: {
    heading: "名簿",
    hint: "受講者のIDと、必要なら氏名・チームを含むCSVファイルを選択するか、ここにドロップします。",
    choose: "CSVファイルを選択",
    none: "名簿がありません。これまでに参加した全員が対象です。",
    student: "氏名",
    remove: "名簿を削除",
    count: (students, named, teams) =>
      [
        `${n(students)}人`,
        named < students ? `氏名あり${n(named)}人` : "",
        teams > 0 ? `${n(teams)}チーム` : "",
      ]
        .filter((part) => part !== "")
        .join("、"),
    fresh: (what) => `${what.replace(/。$/, "")}。保存すると反映されます。`,
    wrong: (count) => `名簿は読み込まれませんでした。エラー${n(count)}件`,
    more: (count) => `ほか${n(count)}件のエラー`,
    line: (line, what) => `${n(line)}行目：${what}`,
    fault: (fault, other) =>
      ({
        size: "ファイルが5 MiBを超えています。",
        encoding: "文字コードがUTF-8、UTF-16、Shift_JISのいずれでもありません。",
        notText: "表のファイルではありません。名簿をCSVとして保存してください。",
        unreadable: "ファイルを読み込めません。フォルダーか、移動されたファイルではありませんか。",
        several: "名簿は1つのファイルです。1つだけドロップしてください。",
        empty: "ファイルに受講者がいません。",
        noId: "「ID」または「学籍番号」という列がありません。",
        tooMany: "受講者が10,000人を超えています。",
        quote: "引用符が閉じられていません。",
        missingId: "IDがありません。",
        longId: "IDが200バイトを超えています。",
        badText: "IDに制御文字が含まれています。",
        longText: "氏名またはチームが1,024バイトを超えています。",
        twice: `IDが${n(other)}行目と重複しています。`,
      })[fault],
  },
  outlineSettings: {
    heading: "アウトライン：授業のノートブック",
    hint:
      "配布するノートブックを登録すると、まだ誰も実行していないセルや課題のセルも分かります。" +
      ".ipynbファイルを選択するか、ここにドロップします。",
    choose: "ノートブックを選択",
    none: "アウトラインがありません。実行されたセルだけが分かります。",
    path: "受講者側のパス",
    count: (cells, exercises) => `セル${n(cells)}個、課題${n(exercises)}個`,
    remove: (notebook) => `${notebook}を削除`,
    exercise: (cell) => `${cell}は課題`,
    exercises: "下のノートブックのセルを開き、課題にチェックを付けてください。",
    full: (most) => `ノートブックは${n(most)}個までです。`,
    fault: (file, fault) =>
      `${file}：${
        {
          size: "20 MiBを超えています。",
          encoding: "UTF-8ではありません。",
          unreadable: "読み込めません。フォルダーか、移動されたファイルではありませんか。",
          twice: "同じ名前のファイルが一緒にドロップされました。名前を変えてください。",
          json: "ファイルが壊れています。",
          notebook: "ノートブックではありません。",
          empty: "コードセルがありません。",
          tooMany: "コードセルが2,000個を超えています。",
        }[fault]
      }`,
  },
  suggestions: {
    text: {
      cells:
        "ほとんどのセルが1人にしか実行されていません。受講者ごとにセルのIDが異なるようです。" +
        "位置で対応付けると、同じ位置のセルが全員で同じセルになります。",
      notebooks: "1つのノートブックに複数のパスがあり、別々に集計されています。",
    },
    apply: { cells: "セルを位置で対応付ける", notebooks: "ファイル名で対応付ける" },
    applying: "保存しています…",
    dismiss: "このままにする",
    failed: "保存できませんでした。もう一度お試しください。",
  },
  lessons: {
    heading: "授業",
    newHeading: "新しい授業を始めますか？",
    newText:
      "このクラスを見る全員について、集計・挙手・セルが最初からになります。" +
      "これまでの内容は過去の授業に残ります。",
    title: "題名（省略可）",
    begin: "始める",
    beginFailed: "授業を始められませんでした。もう一度お試しください。",
    cancel: "キャンセル",
    close: "閉じる",
    current: "現在",
    none: "まだ授業がありません。",
    loading: "授業を読み込んでいます…",
    failed: "授業の一覧を読み込めません。",
    numbers: (students, runs) => `${students} · ${runs}`,
    banner: (when) => `過去の授業の終了時の状態です：${when}`,
    noSuch: "このクラスにその授業はありません。",
    back: "現在の授業に戻る",
    only: "この授業だけ",
    span: (from, to) => `${from}～${to}`,
    badge: "過去の授業",
  },
  presence: {
    label: "このクラスを見ているほかの講師",
    more: (count) => `ほか${n(count)}人`,
    looking: (who) => `${who.join("、")}さんがこの受講者を見ています`,
    own: (name) => `あなた：${name}`,
    unnamed: "お名前を登録",
    why: "ほかの講師に、あなたが見ていることと、だれのところへ向かうかが表示されます",
    change: "お名前を変更",
    save: "保存",
  },
};
