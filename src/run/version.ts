/** The version of this build, put in by the bundler (src/build/build.mjs); a tree run unbundled says so. */
declare const WEIR_VERSION: string | undefined;

export const VERSION: string = typeof WEIR_VERSION === "string" ? WEIR_VERSION : "0.0.0-unbundled";
