// The views of the page. Within a slot they stand in this order. To add one, write its file, whose
// default export makes the view, and name the file here. Its style sheet is css/views/NAME.css.

import absent from "./absent.js";
import activity from "./activity.js";
import cells from "./cells.js";
import connection from "./connection.js";
import drawer from "./drawer.js";
import earlierLesson from "./earlier-lesson.js";
import emptyClass from "./empty-class.js";
import grid from "./grid.js";
import header from "./header.js";
import help from "./help.js";
import limits from "./limits.js";
import loading from "./loading.js";
import oneCell from "./one-cell.js";
import overview from "./overview.js";
import place from "./place.js";
import rejections from "./rejections.js";
import silent from "./silent.js";
import stuck from "./stuck.js";
import suggestion from "./suggestion.js";
import teams from "./teams.js";
import unconfigured from "./unconfigured.js";

/**
 * @import { Alerts } from "../alerts.js"
 * @import { Changes } from "../changes.js"
 * @import { Clock } from "../clock.js"
 * @import { ConnectionState } from "../connection.js"
 * @import { Choice, Focus } from "../focus.js"
 * @import { Text } from "../i18n.js"
 * @import { Me } from "../me.js"
 * @import { Preferences } from "../preferences.js"
 * @import { Presence } from "../presence.js"
 * @import { Rejections } from "../rejections.js"
 * @import { Store } from "../store.js"
 * @import { Status } from "../student.js"
 * @import { GridChoice } from "./grid-choice.js"
 */

/** @typedef {{ notebookPath: string | null, cellId: string }} Place a cell of the class */

/**
 * The views' shared context. Everything is as of now; `Changes` lists the new parts.
 *
 * @typedef {object} Page
 * @property {Store} store
 * @property {Clock} clock
 * @property {Preferences} preferences
 * @property {Alerts} alerts
 * @property {Rejections} rejections
 * @property {Me} me
 * @property {Presence} presence
 * @property {Text} t the texts in the chosen language
 * @property {string} classId
 * @property {string | null} lessonId an earlier lesson that is shown; `null`: the current one
 * @property {string | null} studentId the student whose drawer is open
 * @property {Place | null} cell the cell of which everyone's latest run is shown
 * @property {Status | null} status the status that the grid is limited to
 * @property {GridChoice} grid what else was chosen at the grid
 * @property {Focus} focus the team and the span of time that the page is limited to
 * @property {(choice: Partial<Choice>) => void} limit limits it
 * @property {ConnectionState} connection
 * @property {() => void} retry connects now instead of later
 * @property {(studentId: string, place?: Place) => void} open opens a student's drawer, at the
 *   student's latest run of a cell if one is given
 * @property {(place: Place) => void} openCell shows everyone's latest run of a cell
 * @property {(studentId: string | null) => void} opened notes that a drawer was opened or closed
 * @property {(place: Place | null) => void} openedCell notes that a cell was opened or closed
 * @property {(status: Status | null) => void} filter limits the grid to a status
 * @property {(classId: string) => void} choose shows another class
 * @property {(lessonId: string | null, isCorrection?: boolean) => void} showLesson shows an earlier
 *   lesson, or the current one; a correction takes the place of the address in the history
 */

/**
 * Where a view stands: across the top, above the board, in the board's first column, in the board,
 * or at the side.
 *
 * @typedef {"top" | "main" | "urgent" | "board" | "side"} Slot
 */

/**
 * A view writes what it shows into its element, and nothing else on the page. It is made for one
 * class and one language.
 *
 * @typedef {object} View
 * @property {HTMLElement} element
 * @property {Slot} slot
 * @property {(changes: Changes) => void} [update] is called in each frame in which something
 *   changed
 * @property {(changes: Changes) => void} [updateCalmly] is called instead, or as well, twice a
 *   second at most: for what is read, and should hold still
 * @property {() => void} [restyle] is called when colours or sizes have changed
 * @property {(studentId: string, place?: Place) => void} [open] is called when a student was chosen
 * @property {(place: Place) => void} [openCell] is called when a cell was chosen
 * @property {(files: File[]) => void} [drop] is called when files were dropped onto the page
 * @property {() => void} [end] is called before the view is replaced
 */

/**
 * Make the views.
 *
 * @type {((page: Page) => View)[]}
 */
export const makers = [
  header,
  connection,
  rejections,
  unconfigured,
  earlierLesson,
  suggestion,
  loading,
  emptyClass,
  overview,
  limits,
  help,
  stuck,
  grid,
  cells,
  place,
  activity,
  teams,
  silent,
  absent,
  drawer,
  oneCell,
];
