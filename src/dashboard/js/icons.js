// The page's icons, drawn here so that none is fetched. Beside each stands a word that is seen, or
// one for screen readers.

import { s } from "./dom.js";

const PATHS = {
  help:
    "M7 12V5.5a1.25 1.25 0 0 1 2.5 0V10m0-5.8V3.4a1.25 1.25 0 0 1 2.5 0V10m0-5.2" +
    "a1.25 1.25 0 0 1 2.5 0V11m0-3.6a1.25 1.25 0 0 1 2.5 0V13" +
    "c0 4-2.2 6.2-5.5 6.2-2.8 0-4-1.2-5.2-3.3L4.2 12.700a1.2 1.2 0 0 1 2-1.3L7 12",
  stuck: "M7.500 3h7L19 7.500v7L14.500 19h-7L3 14.500v-7zM11 7v5M11 15v.2",
  error: "M5.500 5.500l11 11M16.500 5.500l-11 11",
  active: "M4.500 11.500l4.200 4.200L17.500 6.500",
  idle: "M11 4a7 7 0 1 0 0 14 7 7 0 0 0 0-14zM11 7v4l2.500 2",
  bell:
    "M5.500 15.500c1.200-1.200 1.500-2.600 1.500-5a4 4 0 0 1 8 0c0 2.400.300 3.800 1.500 5z" +
    "M9.500 18a1.700 1.700 0 0 0 3 0M11 6.500V5",
  close: "M5 5l12 12M17 5L5 17",
  chevron: "M5.500 8.500L11 14l5.500-5.500",
  sun:
    "M11 7.500a3.500 3.500 0 1 0 0 7 3.500 3.500 0 0 0 0-7zM11 2v2M11 18v2M2 11h2M18 11h2" +
    "M4.600 4.600l1.400 1.400M16 16l1.400 1.400M4.600 17.400L6 16M16 6l1.400-1.400",
  moon: "M18 12.800A7.500 7.500 0 1 1 9.200 4a6 6 0 0 0 8.800 8.800z",
  auto:
    "M11 3.500a7.500 7.500 0 1 0 0 15 7.500 7.500 0 0 0 0-15zM11 3.500v15M11 6.500" +
    "l4.800 0M11 9.500l6.400 0M11 12.500l6.400 0M11 15.500l4.800 0",
  screen: "M3 4.500h16v10H3zM8 18.500h6M11 14.500v4",
  menu: "M4 6h14M4 11h14M4 16h14",
  link:
    "M9.500 12.500a3.500 3.500 0 0 0 5 0l3-3a3.500 3.500 0 0 0-5-5l-1.500 1.500" +
    "M12.500 9.500a3.500 3.500 0 0 0-5 0l-3 3a3.500 3.500 0 0 0 5 5l1.500-1.500",
  table: "M3.500 4.500h15v13h-15zM3.500 9h15M3.500 13.200h15M9 4.500v13",
  rows: "M4 5.500h14M4 9.200h14M4 12.900h14M4 16.600h14",
  search: "M9.500 4a5.500 5.500 0 1 0 0 11 5.500 5.500 0 0 0 0-11zM13.700 13.700L18 18",
  warning: "M11 3.500L19.500 18h-17zM11 9v4M11 15.300v.2",
};

/** @typedef {keyof typeof PATHS} IconName */

/** @param {IconName} name */
export function icon(name) {
  const path = s("path", { d: PATHS[name] });
  const properties = { class: `icon icon-${name}`, viewBox: "0 0 22 22", "aria-hidden": "true" };
  return s("svg", properties, path);
}
