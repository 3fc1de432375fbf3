// The rules for static/js. Types and names that nobody defines are for tsc to find: tsconfig.json.
import js from "@eslint/js";

export default [
  {
    files: ["static/js/**/*.js"],
    linterOptions: { reportUnusedDisableDirectives: "error" },
    languageOptions: { ecmaVersion: 2024, sourceType: "module" },
    rules: {
      ...js.configs.recommended.rules,
      "no-undef": "off",
      "no-unused-vars": ["error", { argsIgnorePattern: "^_", varsIgnorePattern: "^_" }],
      eqeqeq: ["error", "always", { null: "ignore" }],
      "array-callback-return": "error",
      "no-alert": "error",
      "no-console": "error",
      "no-duplicate-imports": "error",
      "no-eval": "error",
      "no-implied-eval": "error",
      "no-new-func": "error",
      "no-self-compare": "error",
      "no-shadow": "error",
      "no-template-curly-in-string": "error",
      "no-unused-private-class-members": "error",
      "no-useless-concat": "error",
      "no-var": "error",
      "object-shorthand": "error",
      "prefer-const": "error",
    },
  },
  {
    files: ["static/js/**/*.js"],
    ignores: ["static/js/shared/words.js"],
    rules: {
      "no-restricted-syntax": [
        "error",
        ...["Literal[value=/^[A-Z][a-z]+( [a-z]|[.…])/]", "TemplateElement[value.raw=/^[A-Z][a-z]+ /]"].map((selector) => ({
          selector,
          message: "What a page says stands in static/js/shared/words.js, for translators.",
        })),
      ],
    },
  },
];
