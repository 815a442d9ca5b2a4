// The committed bundle is what its source builds to: builds it anew and compares. Exit code 0: the same; 1: not.
import { mkdtemp, readdir, readFile, rm } from 'node:fs/promises';
import { spawnSync } from 'node:child_process';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

const fresh = await mkdtemp(join(tmpdir(), 'dermgan-web-'));
let differs = false;
try {
  const built = spawnSync(process.execPath, ['build.mjs', fresh], { stdio: 'inherit' });
  if (built.status !== 0) process.exit(1);
  const files = async (folder) => {
    const names = [];
    for (const entry of await readdir(folder, { withFileTypes: true })) {
      if (entry.isFile()) names.push(entry.name);
      else for (const name of await files(join(folder, entry.name))) names.push(join(entry.name, name));
    }
    return names;
  };
  const names = new Set([...(await files(fresh)), ...(await files('dist'))]);
  for (const name of [...names].sort()) {
    const [a, b] = await Promise.all(
      [fresh, 'dist'].map((folder) => readFile(join(folder, name)).catch(() => undefined)));
    if (!a || !b || !a.equals(b)) {
      console.error(`web/dist/${name} is not what its source builds to; run ./run web and commit it`);
      differs = true;
    }
  }
} finally {
  await rm(fresh, { recursive: true });
}
if (!differs) console.log('web/dist is what its source builds to');
process.exit(differs ? 1 : 0);
