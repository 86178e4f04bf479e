/**
 * Downloads a package in package-lock.json that npm does not install on this machine, because it is for another
 * platform.
 *
 * usage: fetch-locked.ts PACKAGE FOLDER     writes FOLDER/PACKAGE.tgz
 */
import { execFileSync } from "node:child_process";
import { createHash } from "node:crypto";
import { readFileSync, renameSync } from "node:fs";

const [name = "", folder = ""] = process.argv.slice(2);
const { packages }: { packages: Record<string, { version: string; integrity: string }> } = JSON.parse(
  readFileSync(`${import.meta.dirname}/../package-lock.json`, "utf8"),
);
const locked = packages[`node_modules/${name}`];
if (locked === undefined) throw new Error(`${name} is not in package-lock.json`);

const pack = ["pack", `${name}@${locked.version}`, "--pack-destination", folder, "--json", "--loglevel=error"];
const [{ filename }]: [{ filename: string }] = JSON.parse(execFileSync("npm", pack, { encoding: "utf8" }));
const integrity = `sha512-${createHash("sha512")
  .update(readFileSync(`${folder}/${filename}`))
  .digest("base64")}`;
if (integrity !== locked.integrity) {
  throw new Error(
    `${name}@${locked.version}: the download has the digest ${integrity}, but package-lock.json has ${locked.integrity}`,
  );
}
renameSync(`${folder}/${filename}`, `${folder}/${name}.tgz`);
