// The page's language: the browser's first that there is, or the one chosen, and how it writes numbers, times and ages.

import { MINUTE, SECOND } from "./time.js";
import { en } from "./strings/en.js";
import { ja } from "./strings/ja.js";

const LANGUAGES = { en, ja };

/** The languages that there are: code and own name. */
export const languages = Object.entries(LANGUAGES).map(([code, { name }]) => [code, name]);

/** The browser's first language that there is. */
export function browserLanguage() {
  const wanted = (navigator.languages ?? [navigator.language]).map((tag) => tag.split("-")[0].toLowerCase());
  return wanted.find((code) => code in LANGUAGES) ?? "en";
}

/** What the page says in a language, by name, and its ways of writing. */
export function speak(code) {
  const text = LANGUAGES[code] ?? en;
  const number = new Intl.NumberFormat(text.locale);
  const percent = new Intl.NumberFormat(text.locale, { style: "percent" });
  const minute = new Intl.DateTimeFormat(text.locale, { hour: "2-digit", minute: "2-digit", hourCycle: "h23" });
  const second = new Intl.DateTimeFormat(text.locale, { hour: "2-digit", minute: "2-digit", second: "2-digit", hourCycle: "h23" });
  const day = new Intl.DateTimeFormat(text.locale, { dateStyle: "medium", timeStyle: "medium", hourCycle: "h23" });
  return {
    ...text,
    number: (value) => number.format(value),
    percent: (value) => percent.format(value),
    /** A time of day; a moment is in microseconds. */
    clockMinute: (moment) => minute.format(moment / 1000),
    clock: (moment) => second.format(moment / 1000),
    dateTime: (moment) => day.format(moment / 1000),
    /** A span, in one or two units. */
    span(micros) {
      const seconds = Math.max(0, Math.floor(micros / SECOND));
      if (seconds < 60) return text.seconds(seconds);
      const minutes = Math.floor(micros / MINUTE);
      if (minutes < 60) return text.minutes(minutes);
      const hours = Math.floor(minutes / 60);
      return hours < 48 ? text.hours(hours, minutes % 60) : text.days(Math.floor(hours / 24));
    },
    age(micros) {
      return micros < 5 * SECOND ? text.justNow : text.ago(this.span(micros));
    },
    /** A wait, to the second: 3:07, 1:03:07. */
    wait(micros) {
      const seconds = Math.max(0, Math.floor(micros / SECOND));
      const two = (value) => String(value).padStart(2, "0");
      const [hours, minutes] = [Math.floor(seconds / 3600), Math.floor(seconds / 60) % 60];
      return hours > 0 ? `${hours}:${two(minutes)}:${two(seconds % 60)}` : `${minutes}:${two(seconds % 60)}`;
    },
  };
}
