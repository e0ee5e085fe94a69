import js from "@eslint/js";

export default [
  { files: ["src/dashboard/**/*.js", "tests/{dashboard,xapi}/**/*.js", "eslint.config.js"] },
  { ignores: ["target/", "docs/", "examples/", "bench/"] },
  js.configs.recommended,
  {
    rules: {
      // TypeScript knows the names of a browser; this rule would need a list of them.
      "no-undef": "off",
      // `const { left, ...rest } = object` is how a member is left out.
      "no-unused-vars": ["error", { ignoreRestSiblings: true }],
      eqeqeq: "error",
      "prefer-const": "error",
      "no-var": "error",
    },
  },
];
