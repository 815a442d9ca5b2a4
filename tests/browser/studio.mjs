// The studio in a real Chromium: from the empty page to an exported data set.
//   node studio.mjs URL DOWNLOADS [SCREENSHOT.png]
// Prints one line for each thing that holds; exit code 1 at the first that does not.
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { chromium } from '../../web/node_modules/playwright-core/index.mjs';

const [url, downloads, screenshot] = process.argv.slice(2);
mkdirSync(downloads, { recursive: true });
const browser = await chromium.launch({ executablePath: '/usr/bin/chromium', args: ['--no-sandbox'] });
const context = await browser.newContext({ viewport: { width: 1280, height: 900 }, acceptDownloads: true });
const page = await context.newPage();
const faults = [];
const outside = [];
page.on('console', (m) => {
  if (m.type() === 'error') faults.push(m.text());  // refusals by the Content-Security-Policy among them
});
page.on('pageerror', (e) => faults.push(e.message));
page.on('request', (r) => {
  if (!r.url().startsWith(url) && !r.url().startsWith('blob:') && !r.url().startsWith('data:')) outside.push(r.url());
});

const shown = () => page.evaluate(() => Number(document.body.dataset.shown ?? 0));
/** Does something, and waits until a picture came of it. */
async function picture(what, act) {
  const before = await shown();
  await act();
  await page.waitForFunction((n) => Number(document.body.dataset.shown ?? 0) > n, before, { timeout: 60000 });
  // The newest wins: at rest, the bar that says "under way" is gone.
  await page.waitForSelector('#stale', { state: 'hidden' });
  console.log(`ok: ${what}, ${await page.textContent('#time')}`);
}
/** Mean colour of the made picture, and a checksum of its pixels. */
const pixels = () => page.evaluate(() => {
  const canvas = document.querySelector('#stage canvas');
  const { data } = canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height);
  let sum = 0, red = 0;
  for (let i = 0; i < data.length; i += 4) {
    sum = (sum * 31 + data[i] + 3 * data[i + 1] + 7 * data[i + 2]) % 2147483647;
    red += data[i];
  }
  return { sum, light: red / (data.length / 4) };
});
const radio = (name) => page.getByRole('radio', { name, exact: false }).first();
const range = (label, value) => page.getByLabel(label, { exact: true }).evaluate((input, v) => {
  input.value = String(v);
  input.dispatchEvent(new Event('input', { bubbles: true }));
}, value);

try {
  await picture('the empty page shows a first picture', () => page.goto(url));
  await page.waitForSelector('#variation-strip .thumb img');
  assert.equal(await page.textContent('#basket-count'), '0');

  const conditions = await page.locator('#conditions button').allTextContents();
  assert.ok(conditions.length >= 2);
  const before = await pixels();
  await picture('a condition is chosen', () => page.locator('#conditions button').last().click());
  assert.notEqual((await pixels()).sum, before.sum);
  await page.fill('#seed', '11');
  await picture('a seed is typed', () => page.keyboard.press('Enter'));

  // Skin colour, three ways.
  await picture('the ITA slider goes to dark', () => range('ITA, degrees', 0));
  const dark = await pixels();
  await picture('and to light', () => range('ITA, degrees', 45));
  assert.ok((await pixels()).light > dark.light + 10, 'lighter skin is lighter');
  assert.equal(await page.isVisible('#beyond'), false);
  await picture('far beyond the data', () => range('ITA, degrees', -60));
  assert.equal(await page.isVisible('#beyond'), true);
  await picture('Monk swatch 5', () => radio('Monk 5,').click());
  assert.equal(await radio('Monk 5,').getAttribute('aria-checked'), 'true');
  const photo = join(downloads, 'photo.png');
  writeFileSync(photo, execFileSync('/usr/bin/python3', ['-c',
    'import sys,zlib,struct\n' +
    'w=h=96\nrow=b"\\0"+bytes([198,152,120])*w\n' +
    'chunk=lambda t,d: struct.pack(">I",len(d))+t+d+struct.pack(">I",zlib.crc32(t+d))\n' +
    'sys.stdout.buffer.write(b"\\x89PNG\\r\\n\\x1a\\n"+chunk(b"IHDR",struct.pack(">IIBBBBB",w,h,8,2,0,0,0))+chunk(b"IDAT",zlib.compress(row*h))+chunk(b"IEND",b""))']));
  await page.click('#photo-open');
  await page.setInputFiles('#photo-file', photo);
  await page.waitForFunction(() => document.querySelector('#photo-text').textContent.startsWith('Measured'));
  await page.locator('#photo-canvas').click({ position: { x: 20, y: 20 } });
  await picture('the eyedropper takes a colour from a photograph', () => page.click('#photo-use'));
  assert.equal(await page.inputValue('#hex'), '#c69878');

  // The lesion by pointer, key and brush.
  const box = await page.locator('#asked canvas').boundingBox();
  const at = (x, y) => [box.x + x * box.width, box.y + y * box.height];
  await picture('the lesion is dragged', async () => {
    await page.mouse.move(...at(0.5, 0.5));
    await page.mouse.down();
    await page.mouse.move(...at(0.4, 0.45), { steps: 6 });
    await page.mouse.up();
  });
  assert.ok(Math.abs(Number(await page.inputValue('#slider-across')) - 0.4) < 0.02);
  const size = Number(await page.inputValue('#slider-size'));
  await picture('it is scaled by a handle', async () => {
    await page.mouse.move(...at(0.4 + size / 2, 0.45 + size / 2));
    await page.mouse.down();
    await page.mouse.move(...at(0.4 + size / 2 + 0.1, 0.45 + size / 2 + 0.1), { steps: 6 });
    await page.mouse.up();
  });
  assert.ok(Math.abs(Number(await page.inputValue('#slider-size')) - size - 0.1) < 0.03);
  await page.focus('#stage');
  const across = Number(await page.inputValue('#slider-across'));
  await picture('it is moved by a key', () => page.keyboard.press('Shift+ArrowRight'));
  assert.ok(Math.abs(Number(await page.inputValue('#slider-across')) - across - 0.05) < 0.011);
  await picture('an ellipse', () => radio('Ellipse').click());
  await picture('a box', () => radio('Box').click());
  await picture('a natural outline again', () => radio('Natural').click());
  await page.focus('#stage');
  await picture('a new seed by key', () => page.keyboard.press('r'));

  // Several lesions in one picture.
  const chips = page.locator('#lesions button');
  assert.equal(await page.isVisible('#lesions'), false, 'one lesion needs no choice');
  await picture('another lesion', () => page.click('#lesion-add'));
  assert.equal(await chips.count(), 2);
  assert.equal(await chips.nth(1).getAttribute('aria-checked'), 'true', 'the new one is edited');
  await picture('of another condition', () => page.locator('#conditions button').first().click());
  assert.equal(await chips.nth(1).textContent(), `2 ${conditions[0]}`);
  assert.equal(await chips.nth(0).textContent(), `1 ${conditions[conditions.length - 1]}`, 'the first keeps its own');
  const second = [Number(await page.inputValue('#slider-across')), Number(await page.inputValue('#slider-down'))];
  assert.match(await page.textContent('#region-text'), /Lesion 1: .*Lesion 2, edited: /);
  await chips.nth(1).focus();
  await page.keyboard.press('ArrowLeft');
  assert.equal(await chips.nth(0).getAttribute('aria-checked'), 'true', 'arrows choose the lesion');
  const first = [Number(await page.inputValue('#slider-across')), Number(await page.inputValue('#slider-down'))];
  assert.ok(Math.hypot(first[0] - second[0], first[1] - second[1]) > 0.2, 'the second stands apart');
  await picture('the second is dragged, which chooses it', async () => {
    await page.mouse.move(...at(...second));
    await page.mouse.down();
    await page.mouse.move(...at(second[0], second[1] + (second[1] < 0.5 ? 0.05 : -0.05)), { steps: 4 });
    await page.mouse.up();
  });
  assert.equal(await chips.nth(1).getAttribute('aria-checked'), 'true', 'a click chooses the lesion under it');
  const moved = Number(await page.inputValue('#slider-down'));
  assert.ok(Math.abs(Math.abs(moved - second[1]) - 0.05) < 0.02, `it was moved: ${second[1]} to ${moved}`);
  await page.click('#add');
  await picture('and taken away again', () => page.click('#lesion-remove'));
  assert.equal(await page.isVisible('#lesions'), false);
  await page.click('#basket-open');
  await picture('a picture of the basket brings both back', () => page.locator('#basket-items .thumb > button').first().click());
  await page.keyboard.press('Escape');
  assert.equal(await chips.count(), 2);
  await chips.nth(1).click();
  assert.equal(Number(await page.inputValue('#slider-down')), moved);
  await picture('one is taken away', () => page.click('#lesion-remove'));

  // Asked against measured.
  await page.waitForSelector('#measures[data-ready] .measure');
  await page.waitForFunction(() => !document.querySelector('#measures').classList.contains('old'));
  const measures = await page.textContent('#measures');
  assert.match(measures, /ΔE \d+\.\d/);
  assert.match(measures, /overlap/);
  assert.match(measures, /condition seen/);
  console.log(`ok: measured: ${measures.replace(/\s+/g, ' ')}`);
  await page.click('#add');

  // Sweep and variations.
  await page.click('#tab-sweep');
  await page.selectOption('#sweep-key', 'size');
  await page.fill('#sweep-steps', '5');
  await page.click('#run-sweep');
  await page.waitForFunction(() => document.querySelectorAll('#sweep-strip .thumb img').length === 5);
  await page.locator('#sweep-strip figcaption button').nth(1).click();
  await page.locator('#sweep-strip figcaption button').nth(3).click();
  if (screenshot) {
    await picture('the scene of the screenshot', () => page.getByRole('radio', { name: 'nevus' }).click());
    await page.fill('#seed', '21');
    await picture('its seed', () => page.keyboard.press('Enter'));
    await page.waitForFunction(() => !document.querySelector('#measures').classList.contains('old'));
    await page.selectOption('#sweep-key', 'skin');
    await page.fill('#sweep-steps', '6');
    await page.click('#run-sweep');
    await page.waitForFunction(() => document.querySelectorAll('#sweep-strip .thumb img').length === 6);
    await page.evaluate(() => { scrollTo(0, 0); document.activeElement.blur(); });
    await page.mouse.move(5, 5);
    await page.waitForTimeout(300);
    await page.screenshot({ path: screenshot });
    console.log(`ok: ${screenshot}`);
  }
  await page.click('#tab-variations');
  await page.fill('#variation-count', '4');
  await page.click('#vary');
  await page.waitForFunction(() => document.querySelectorAll('#variation-strip .thumb img').length === 4);
  await picture('a variation is taken up', () => page.locator('#variation-strip .thumb > button').nth(2).click());

  // A brush.
  await radio('Brush').click();
  await page.click('#clear');
  await page.locator('#asked').scrollIntoViewIfNeeded();
  const canvas = await page.locator('#asked canvas').boundingBox();
  await picture('a lesion is drawn by brush', async () => {
    const point = (a) => [canvas.x + canvas.width * (0.5 + 0.15 * Math.cos(a)), canvas.y + canvas.height * (0.5 + 0.2 * Math.sin(a))];
    await page.mouse.move(...point(0));
    await page.mouse.down();
    for (let a = 0; a <= 6.4; a += 0.4) await page.mouse.move(...point(a), { steps: 2 });
    await page.mouse.move(canvas.x + canvas.width / 2, canvas.y + canvas.height / 2, { steps: 4 });
    await page.mouse.up();
  });
  await page.click('#add');
  assert.equal(await page.textContent('#basket-count'), '5');

  // The basket as a data set.
  await page.click('#basket-open');
  const [download] = await Promise.all([page.waitForEvent('download', { timeout: 60000 }), page.click('#export')]);
  const zip = join(downloads, 'set.zip');
  await download.saveAs(zip);
  const set = join(downloads, 'set');
  execFileSync('/usr/bin/python3', ['-m', 'zipfile', '-e', zip, set]);
  const rows = JSON.parse(execFileSync('/usr/bin/python3', ['-c',
    'import csv,json,sys; print(json.dumps(list(csv.DictReader(open(sys.argv[1])))))', join(set, 'metadata.csv')]).toString());
  assert.equal(rows.length, 5);
  assert.equal(JSON.parse(rows[0].boxes).length, 1, 'the further lesion');
  for (const row of rows) {
    assert.ok(existsSync(join(set, row.file_name)) && existsSync(join(set, row.mask_file_name)));
    assert.equal(row.image_manipulation, 'synthetic');
  }
  assert.equal(rows[4].requested_shape, 'mask');
  assert.equal(JSON.parse(readFileSync(join(set, 'requests.json'), 'utf8'))[0].regions.length, 2);
  assert.ok(existsSync(join(set, 'requests.json')));
  console.log(`ok: five images exported as a data set, ${rows.map((r) => r.requested_size).join(', ')}`);
  await page.keyboard.press('Escape');

  // What a screen reader is told.
  assert.deepEqual(await page.evaluate(() => [...document.querySelectorAll('button, input, select, [tabindex="0"]')]
    .filter((e) => e.checkVisibility() && !(e.getAttribute('aria-label') || e.textContent.trim() || e.labels?.length || e.title))
    .map((e) => e.outerHTML)), [], 'every control has a name');
  assert.deepEqual(await page.evaluate(() => [...document.querySelectorAll('img')].filter((i) => !i.hasAttribute('alt')).length), 0);

  // A phone: nothing leaves the screen sideways, and the picture stays in sight.
  await page.setViewportSize({ width: 390, height: 844 });
  await page.waitForTimeout(300);
  assert.ok(await page.evaluate(() => document.documentElement.scrollWidth <= innerWidth), 'no sideways scrolling');
  await page.locator('#ita').scrollIntoViewIfNeeded();
  const stage = await page.locator('#made-figure').boundingBox();
  assert.ok(stage.y >= 0 && stage.y + stage.height < 844, 'the picture is in sight beside the slider');
  console.log('ok: on a phone');

  // And as a phone lays pages out: what is too wide makes it shrink everything.
  const phone = await (await browser.newContext({ viewport: { width: 390, height: 844 }, hasTouch: true, isMobile: true, colorScheme: 'dark' })).newPage();
  phone.on('pageerror', (e) => faults.push(e.message));
  await phone.goto(url);
  await phone.waitForSelector('#variation-strip .thumb img', { timeout: 60000 });
  assert.equal(await phone.evaluate(() => innerWidth), 390, 'the page is as wide as the phone');
  await phone.locator('#lesion-add').tap();
  await phone.waitForFunction(() => document.querySelectorAll('#lesions button').length === 2);
  assert.equal(await phone.evaluate(() => innerWidth), 390, 'with two lesions too');
  await phone.context().close();
  console.log('ok: as a phone lays it out, in the dark');

  assert.deepEqual(faults, [], 'no error in the console');
  assert.deepEqual(outside, [], 'nothing was asked of other hosts');
  console.log('ok: no error, nothing from outside');
} catch (error) {
  await page.screenshot({ path: join(downloads, 'failure.png'), fullPage: true }).catch(() => undefined);
  console.error(faults.join('\n'));
  console.error(error);
  process.exitCode = 1;
}
await browser.close();
