// The page's language, and how it writes numbers, times and ages.

import { classEn } from "./strings/class-en.js";
import { classJa } from "./strings/class-ja.js";
import { en } from "./strings/en.js";
import { ja } from "./strings/ja.js";
import { MINUTE, SECOND } from "./time.js";

/**
 * @import { ClassStrings } from "./strings/class-en.js"
 * @import { Strings } from "./strings/en.js"
 */

/** @typedef {"en" | "ja"} Language */

/** @type {Record<Language, Strings & ClassStrings>} */
const LANGUAGES = { en: { ...en, ...classEn }, ja: { ...ja, ...classJa } };

/**
 * Code and own name of each language.
 *
 * @type {[Language, string][]}
 */
export const languages = [
  ["en", en.name],
  ["ja", ja.name],
];

/**
 * The browser's first language that the page speaks.
 *
 * @returns {Language}
 */
export function browserLanguage() {
  const wanted = navigator.languages ?? [navigator.language];
  const codes = wanted.map((tag) => tag.split("-")[0].toLowerCase());
  return codes.find(isLanguage) ?? "en";
}

/**
 * @param {string} code
 * @returns {code is Language}
 */
function isLanguage(code) {
  return Object.hasOwn(LANGUAGES, code);
}

/** @typedef {ReturnType<typeof speak>} Text */

/**
 * The page's texts in a language, and how that language writes numbers and times.
 *
 * @param {Language} code
 */
export function speak(code) {
  const strings = LANGUAGES[code] ?? LANGUAGES.en;
  const { locale } = strings;
  /** @param {Intl.DateTimeFormatOptions} options */
  const time = (options) => new Intl.DateTimeFormat(locale, { ...options, hourCycle: "h23" });
  const number = new Intl.NumberFormat(locale);
  const percent = new Intl.NumberFormat(locale, { style: "percent" });
  const minute = time({ hour: "2-digit", minute: "2-digit" });
  const second = time({ hour: "2-digit", minute: "2-digit", second: "2-digit" });
  const date = new Intl.DateTimeFormat(locale, { day: "numeric", month: "short" });
  const dayOfYear = new Intl.DateTimeFormat(locale, { dateStyle: "medium" });
  const day = time({ dateStyle: "medium", timeStyle: "medium" });
  return {
    ...strings,
    /** @param {number} value */
    number: (value) => number.format(value),
    /** @param {number} value */
    percent: (value) => percent.format(value),
    /**
     * The time of day, to the minute.
     *
     * @param {number} moment in microseconds
     */
    clockMinute: (moment) => minute.format(moment / 1000),
    /** @param {number} moment */
    clock: (moment) => second.format(moment / 1000),
    /**
     * The day, without the year.
     *
     * @param {number} moment
     */
    day: (moment) => date.format(moment / 1000),
    /**
     * The day, with the year.
     *
     * @param {number} moment
     */
    dayOfYear: (moment) => dayOfYear.format(moment / 1000),
    /** @param {number} moment */
    dateTime: (moment) => day.format(moment / 1000),
    /**
     * A span, in one or two units.
     *
     * @param {number} micros
     */
    span: (micros) => span(micros, strings),
    /** @param {number} micros */
    age: (micros) => (micros < 5 * SECOND ? strings.justNow : strings.ago(span(micros, strings))),
    wait,
  };
}

/**
 * @param {number} micros
 * @param {Strings} strings
 */
function span(micros, strings) {
  const seconds = Math.max(0, Math.floor(micros / SECOND));
  if (seconds < 60) return strings.seconds(seconds);
  const minutes = Math.floor(micros / MINUTE);
  if (minutes < 60) return strings.minutes(minutes);
  const hours = Math.floor(minutes / 60);
  if (hours < 48) return strings.hours(hours, minutes % 60);
  return strings.days(Math.floor(hours / 24));
}

/**
 * A wait, to the second: 3:07, 1:03:07.
 *
 * @param {number} micros
 */
function wait(micros) {
  const seconds = Math.max(0, Math.floor(micros / SECOND));
  /** @param {number} value */
  const two = (value) => String(value).padStart(2, "0");
  const [hours, minutes] = [Math.floor(seconds / 3600), Math.floor(seconds / 60) % 60];
  const below = two(seconds % 60);
  return hours > 0 ? `${hours}:${two(minutes)}:${below}` : `${minutes}:${below}`;
}
