// The studio over a model that makes images from noise, with latent directions.
//   node directions.mjs URL DOWNLOADS
// Prints one line for each thing that holds; exit code 1 at the first that does not.
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { chromium } from '../../web/node_modules/playwright-core/index.mjs';

const [url, downloads] = process.argv.slice(2);
mkdirSync(downloads, { recursive: true });
const browser = await chromium.launch({ executablePath: '/usr/bin/chromium', args: ['--no-sandbox'] });
const page = await (await browser.newContext({ viewport: { width: 1280, height: 900 }, acceptDownloads: true })).newPage();
const faults = [];
page.on('console', (m) => { if (m.type() === 'error') faults.push(m.text()); });
page.on('pageerror', (e) => faults.push(e.message));

async function picture(what, act) {
  const before = await page.evaluate(() => Number(document.body.dataset.shown ?? 0));
  await act();
  await page.waitForFunction((n) => Number(document.body.dataset.shown ?? 0) > n, before, { timeout: 60000 });
  await page.waitForSelector('#stale', { state: 'hidden' });
  console.log(`ok: ${what}`);
}
const pixels = () => page.evaluate(() => {
  const canvas = document.querySelector('#stage canvas');
  const { data } = canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height);
  return data.reduce((sum, v) => (sum * 31 + v) % 2147483647, 0);
});
const range = (id, value) => page.locator(id).evaluate((input, v) => {
  input.value = String(v);
  input.dispatchEvent(new Event('input', { bubbles: true }));
}, value);

try {
  await picture('a first picture', () => page.goto(url));
  await page.waitForSelector('#variation-strip .thumb img');
  // What the model does not heed is not offered.
  for (const id of ['#group-skin', '#group-lesion', '#group-condition', '#asked-figure', '#outline-check'])
    assert.equal(await page.isVisible(id), false, id);
  assert.equal(await page.isVisible('#group-directions'), true);
  assert.equal(await page.locator('#direction-sliders input').count(), 3);
  await page.waitForSelector('#measures[data-ready]');
  assert.ok(!(await page.textContent('#measures')).includes('→'), 'nothing was asked, so nothing is compared');

  const plain = await pixels();
  await picture('the first direction is followed', () => range('#direction-1', 2));
  const moved = await pixels();
  assert.notEqual(moved, plain);
  await page.click('#add');
  await picture('and left again', () => page.click('#directions-reset'));
  assert.equal(await pixels(), plain, 'at 0 it is the same picture');

  await page.click('#tab-sweep');
  assert.deepEqual(await page.locator('#sweep-key option').evaluateAll((all) => all.map((o) => o.value)),
    ['direction-1', 'direction-2', 'direction-3']);
  await page.fill('#sweep-steps', '3');
  await page.click('#run-sweep');
  await page.waitForFunction(() => document.querySelectorAll('#sweep-strip .thumb img').length === 3, undefined, { timeout: 60000 });
  await picture('one of a sweep is taken over', () => page.locator('#sweep-strip .thumb button').first().click());
  assert.equal(await page.inputValue('#direction-1'), '-2');

  await page.click('#basket-open');
  const [file] = await Promise.all([page.waitForEvent('download'), page.click('#export')]);
  const zip = join(downloads, 'set.zip');
  await file.saveAs(zip);
  const [names, table] = JSON.parse(execFileSync('/usr/bin/python3', ['-c',
    'import json,sys,zipfile\nz=zipfile.ZipFile(sys.argv[1])\nprint(json.dumps([z.namelist(),z.read("metadata.csv").decode()]))', zip]).toString());
  assert.ok(names.every((n) => !n.startsWith('masks/')), 'no masks of regions that nobody asked for');
  assert.match(table, /requested_directions/);
  assert.match(table, /"\[2\.0,0\.0,0\.0\]"/);
  console.log('ok: exported with its strengths, without claims');
  await page.keyboard.press('Escape');
  await page.screenshot({ path: join(downloads, 'directions.png'), fullPage: true });
  assert.deepEqual(faults, [], 'no error in the console');
} catch (error) {
  await page.screenshot({ path: join(downloads, 'failure.png'), fullPage: true }).catch(() => undefined);
  console.error(faults.join('\n'));
  console.error(error);
  process.exitCode = 1;
}
await browser.close();
