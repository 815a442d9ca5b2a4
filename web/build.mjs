// Bundles src/ into dist/: what is committed there becomes part of the program. ./run web
import { build } from 'esbuild';
import { copyFile, mkdir } from 'node:fs/promises';

const out = process.argv[2] ?? 'dist';
await mkdir(out, { recursive: true });
await build({
  entryPoints: ['src/studio.ts', 'src/studio.css'],
  outdir: out,
  bundle: true,
  minify: true,
  charset: 'utf8',
  legalComments: 'none',
  target: ['es2021', 'chrome100', 'firefox100', 'safari15'],
  logLevel: 'warning',
});
for (const name of ['index.html', 'favicon.svg']) await copyFile(`src/${name}`, `${out}/${name}`);

// The page of reader studies (dermgan study serve), a program of its own.
await build({
  entryPoints: ['study/study.ts'],
  outdir: `${out}/study`,
  bundle: true,
  format: 'esm',
  minify: true,
  charset: 'utf8',
  legalComments: 'none',
  target: ['es2022', 'chrome100', 'firefox100', 'safari15.4'],
  logLevel: 'warning',
});
for (const name of ['study.html', 'study.css']) await copyFile(`study/${name}`, `${out}/study/${name}`);
