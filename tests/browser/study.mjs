// A whole reader study in real Chromium: three readers (a desktop, a phone, a keyboard alone), a tab closed in the middle, the
// server killed in the middle, the report compared with figures computed from the CSV by Python.
//
//   node tests/browser/study.mjs PATH-OF-dermgan
//
// With DERM_SCREENSHOTS=FOLDER the pictures of the documents are written there. Exit code 77: cannot run here, and why.
import { createHash } from "node:crypto";
import { execFileSync, spawn } from "node:child_process";
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import { dirname, join, resolve } from "node:path";
import { fileURLToPath } from "node:url";

const root = resolve(dirname(fileURLToPath(import.meta.url)), "../..");
const dermgan = process.argv[2];
const skip = (why) => {
  console.log(`skipped: ${why}`);
  process.exit(77);
};
if (!dermgan || !existsSync(dermgan)) skip(`there is no program ${dermgan}`);
const chromiumPath = ["/usr/bin/chromium", "/usr/bin/chromium-browser", "/usr/bin/google-chrome"].find((p) => existsSync(p));
if (!chromiumPath) skip("there is no Chromium; install chromium");
let chromium;
for (const folder of [process.env.DERM_NODE_MODULES, join(root, "web")].filter(Boolean)) {
  try {
    ({ chromium } = createRequire(join(folder, "package.json"))("playwright-core"));
    break;
  } catch {
    // The next one.
  }
}
if (!chromium) skip("playwright-core is not there; run: ./run web");

const shots = process.env.DERM_SCREENSHOTS;
if (shots) mkdirSync(shots, { recursive: true });
const work = mkdtempSync(join(tmpdir(), "derm-browser-study-"));
const check = (condition, what) => {
  if (!condition) throw new Error(`failed: ${what}`);
};
const same = (found, expected, what) => check(found === expected, `${what}: ${JSON.stringify(found)} was found, ${JSON.stringify(expected)} is expected`);
const run = (...words) => execFileSync(dermgan, words, { encoding: "utf8", stdio: ["ignore", "pipe", "ignore"] });
const sleep = (ms) => new Promise((done) => setTimeout(done, ms));

/** The same numbers every time. */
let seed = 12345;
const random = () => {
  seed = (Math.imul(seed, 1664525) + 1013904223) >>> 0;
  return seed / 4294967296;
};

let server;
let port = 0;
async function serve(study) {
  server = spawn(dermgan, ["study", "serve", study, "--port", String(port)], { stdio: ["ignore", "pipe", "pipe"] });
  let log = "";
  server.stderr.on("data", (bytes) => (log += bytes));
  const url = await new Promise((done, fail) => {
    let text = "";
    server.stdout.on("data", (bytes) => {
      text += bytes;
      if (text.includes("\n")) done(text.trim());
    });
    server.on("exit", (status) => fail(new Error(`the server ended with ${status}: ${log}`)));
    setTimeout(() => fail(new Error(`the server does not start: ${log}`)), 60000);
  });
  port = Number(new URL(url).port);
  return url;
}
async function end(signal) {
  server.removeAllListeners("exit");
  const gone = new Promise((done) => server.on("exit", done));
  server.kill(signal);
  await gone;
}

/** A reader at a browser. They know what an image is by its SHA-256 in the key, and are right with a probability. */
class Reader {
  constructor(browser, url, code, truth, skill, options) {
    Object.assign(this, { browser, url, code, truth, skill, options, answers: 0, problems: [], shown: null });
  }
  async open() {
    this.context ??= await this.browser.newContext(this.options);
    this.page = await this.context.newPage();
    this.page.on("console", (message) => message.type() === "error" && this.problems.push(message.text()));
    this.page.on("pageerror", (error) => this.problems.push(String(error)));
    this.page.on("dialog", (dialog) => {
      this.problems.push(`a dialog: ${dialog.message()}`);
      void dialog.dismiss();
    });
    await this.page.route("**/v1/study/images/*", async (route) => {
      try {
        const response = await route.fetch();
        this.shown = createHash("sha256").update(await response.body()).digest("hex");
        await route.fulfill({ response });
      } catch {
        await route.abort();
      }
    });
    await this.page.goto(this.url);
  }
  async enter() {
    await this.page.fill("#code", this.code.toLowerCase());
    await this.page.press("#code", "Enter");
    await this.page.waitForSelector("#intro:not([hidden])");
    check((await this.page.textContent("#hash")).length === 64, "the sealed key's hash is shown");
  }
  async begin() {
    await this.page.click("#start");
    await this.page.waitForSelector("#task:not([hidden])");
  }
  progress() {
    return this.page.textContent("#progress-text");
  }
  async looked() {
    await this.page.waitForFunction(() => document.querySelector("#image").naturalWidth > 0 && document.querySelector("#cover").hidden);
    return this.truth.get(this.shown);
  }
  choose() {
    const image = this.truth.get(this.shown);
    check(image, `the image ${this.shown} is one of the key's (${this.problems.join("; ")})`);
    const right = random() < this.skill;
    const verdict = (image.source === "real") === right ? "real" : "synthetic";
    return { verdict, confidence: String(Math.min(5, Math.max(1, Math.floor(random() * 5) + (right ? 1 : 0)))), realism: verdict === "real" ? "4" : "2", image };
  }
  /** Fills in the form by mouse. */
  async fill(choice) {
    const page = this.page;
    await page.check(`input[name=verdict][value=${choice.verdict}]`);
    await page.check(`input[name=confidence][value="${choice.confidence}"]`);
    await page.selectOption("#condition", random() < 0.7 ? choice.image.condition : "unsure");
    await page.check(`input[name=realism][value="${choice.realism}"]`);
    await page.check(`input[name=artefacts][value="${6 - choice.realism}"]`);
  }
  async save() {
    const before = await this.progress();
    await this.page.click("#save");
    await this.page.waitForFunction((text) => document.querySelector("#progress-text").textContent !== text || !document.querySelector("#done").hidden, before);
    this.answers += 1;
  }
  async finished() {
    return this.page.isVisible("#done");
  }
  async step() {
    await this.looked();
    await this.fill(this.choose());
    await this.save();
  }
}

async function main() {
  let made = 1;
  for (const [name, count] of [["real", 80], ["a", 48], ["b", 48]]) {
    run("phantom", "--count", String(count), "--size", "128", "--seed", String(made++), "--condition", "nevus", "--condition", "melanoma", "--out", join(work, name));
  }
  const study = join(work, "study");
  const created = JSON.parse(run("study", "new", "--real", join(work, "real"), "--synthetic", `phantom-a=${join(work, "a")}`, "--synthetic", `phantom-b=${join(work, "b")}`,
    "--split", "all", "--readers", "dermatologists=2", "--readers", "lay=1", "--images", "12", "--blocks", "2", "--blocks-per-reader", "1", "--anchors", "0.5",
    "--strata", "condition", "--practice", "2", "--repeats", "3", "--seed", "5", "--title", "Skin images: real or synthetic?", "--out", study, "--json"));
  const key = JSON.parse(readFileSync(join(study, "key.json"), "utf8"));
  same(createHash("sha256").update(readFileSync(join(study, "key.json"))).digest("hex"), created.key_sha256, "the published hash");
  const truth = new Map(key.images.map((image) => [image.sha256, image]));
  const due = 2 + 12 + 3;
  const url = await serve(study);

  const browser = await chromium.launch({ executablePath: chromiumPath, args: ["--no-sandbox", "--disable-dev-shm-usage"] });
  try {
    const desktop = { viewport: { width: 1180, height: 800 } };
    const phone = { viewport: { width: 390, height: 844 }, hasTouch: true, isMobile: true, colorScheme: "dark" };
    const readers = [
      new Reader(browser, url, created.readers[0].code, truth, 0.8, desktop),
      new Reader(browser, url, created.readers[1].code, truth, 0.7, phone),
      new Reader(browser, url, created.readers[2].code, truth, 0.5, desktop),
    ];
    const [first, second, third] = readers;

    // The first reader: a wrong code, then a tab closed in the middle of an answer.
    await first.open();
    await first.page.fill("#code", "AAAA-AAAA-AAAA-AAAA");
    await first.page.press("#code", "Enter");
    await first.page.waitForSelector("#alert:not([hidden])");
    check((await first.page.textContent("#alert")).includes("not a reader's code"), "a wrong code is said to be one");
    first.problems.length = 0; // Chromium notes the 401 on its console
    await first.enter();
    await first.begin();
    same(await first.progress(), "Practice 1 of 2", "practice comes first");
    for (let i = 0; i < 5; ++i) await first.step();
    same(await first.progress(), "Image 4 of 15", "five answers on");
    await first.looked();
    const half = first.choose();
    await first.page.check(`input[name=verdict][value=${half.verdict}]`);
    await first.page.fill("#remark", "half written");
    const shownBefore = first.shown;
    await first.page.close();
    await first.open();
    await first.page.waitForSelector("#task:not([hidden])");
    same(await first.progress(), "Image 4 of 15", "after the tab was closed");
    await first.looked();
    same(first.shown, shownBefore, "the image after the tab was closed");
    check(await first.page.isChecked(`input[name=verdict][value=${half.verdict}]`), "the verdict given before the tab was closed is kept");
    same(await first.page.inputValue("#remark"), "half written", "the remark begun before the tab was closed");
    // What is missing is said, and nothing is sent.
    await first.page.click("#save");
    check((await first.page.textContent("#missing")).includes("how sure you are"), "what is still missing is said");
    same(await first.progress(), "Image 4 of 15", "nothing was sent");
    await first.fill(half);
    await first.page.fill("#remark", '=1+1 <script>alert("remark")</script>');
    // A box drawn on the image while zoomed in, and a mark of the whole.
    await first.page.click("#zoom-in");
    same(await first.page.textContent("#zoom-value"), "150 %", "zoom");
    await first.page.click("#draw");
    await first.page.locator("#stage").scrollIntoViewIfNeeded();
    const stage = await first.page.locator("#stage").boundingBox();
    await first.page.mouse.move(stage.x + stage.width * 0.4, stage.y + stage.height * 0.4);
    await first.page.mouse.down();
    await first.page.mouse.move(stage.x + stage.width * 0.6, stage.y + stage.height * 0.7, { steps: 4 });
    await first.page.mouse.up();
    await first.page.locator("#marks select").first().selectOption("border");
    await first.page.click("#whole");
    same(await first.page.locator("#marks li").count(), 2, "marks");
    if (shots) {
      await first.page.fill("#remark", "");
      await first.page.evaluate(() => window.scrollTo(0, 0));
      await first.page.screenshot({ path: join(shots, "study.png") });
      await first.page.fill("#remark", '=1+1 <script>alert("remark")</script>');
    }
    await first.save();

    // The second, on a phone: takes an answer back. The server is killed behind an accepted answer, and started again.
    await second.open();
    await second.enter();
    if (shots) await second.page.screenshot({ path: join(shots, "study-intro-phone.png") });
    await second.begin();
    for (let i = 0; i < 4; ++i) await second.step();
    same(await second.progress(), "Image 3 of 15", "four answers on");
    await second.page.click("#undo");
    await second.page.waitForFunction(() => document.querySelector("#progress-text").textContent === "Image 2 of 15");
    check(!(await second.page.isVisible("#undo")), "only one answer can be taken back");
    await second.step();
    if (shots) {
      await second.looked();
      await second.page.screenshot({ path: join(shots, "study-phone.png"), fullPage: true });
    }
    const overflow = await second.page.evaluate(() => document.documentElement.scrollWidth - window.innerWidth);
    check(overflow <= 0, `nothing sticks out of the narrow screen (${overflow} px)`);
    await end("SIGKILL");
    await second.looked();
    await second.fill(second.choose());
    await second.page.click("#save");
    await second.page.waitForSelector("#alert:not([hidden])");
    check((await second.page.textContent("#alert")).includes("cannot be reached"), "a server that is away is said to be");
    await serve(study);
    same(await second.progress(), "Image 3 of 15", "after the server was killed");
    await second.save();
    second.problems = second.problems.filter((text) => !text.includes("ERR_CONNECTION"));

    // The third uses no mouse.
    await third.open();
    await third.page.waitForFunction(() => document.activeElement.id === "code");
    await third.page.keyboard.type(third.code);
    await third.page.keyboard.press("Enter");
    await third.page.waitForSelector("#intro:not([hidden])");
    await third.page.waitForFunction(() => document.activeElement.id === "start");
    await third.page.keyboard.press("Enter");
    await third.page.waitForSelector("#task:not([hidden])");
    for (let i = 0; !(await third.finished()); ++i) {
      await third.looked();
      const choice = third.choose();
      await third.page.keyboard.press(choice.verdict === "real" ? "r" : "s");
      await third.page.keyboard.press(choice.confidence);
      await third.page.focus("#condition");
      await third.page.keyboard.type(choice.image.condition.slice(0, 3));
      await third.page.keyboard.press("Tab");
      for (let k = 1; k < Number(choice.realism); ++k) await third.page.keyboard.press("ArrowRight");
      if (choice.realism === "1") await third.page.keyboard.press("Space");
      await third.page.keyboard.press("Tab");
      await third.page.keyboard.press("Space");
      if (i === 3) {
        // A mark by keyboard: to the middle, then a little to the right.
        await third.page.focus("#draw");
        await third.page.keyboard.press("Enter");
        await third.page.keyboard.press("ArrowRight");
        await third.page.focus("#stage");
      }
      const before = await third.progress();
      await third.page.focus("#stage");
      await third.page.keyboard.press("Enter");
      await third.page.waitForFunction((text) => document.querySelector("#progress-text").textContent !== text || !document.querySelector("#done").hidden, before);
      third.answers += 1;
    }
    same(third.answers, due, "answers of the third reader");
    for (const reader of [first, second]) {
      while (!(await reader.finished())) await reader.step();
      check((await reader.page.textContent("#done")).includes("Thank you"), "the end is said");
    }
    same(first.answers, due, "answers of the first reader");
    same(second.answers, due + 1, "answers of the second reader, one of them taken back");
    for (const reader of readers) same(reader.problems.join("; "), "", "problems on the console");

    // The report equals what Python computes from the CSV.
    const out = join(work, "report");
    run("study", "report", study, "--out", out);
    const report = JSON.parse(readFileSync(join(out, "report.json"), "utf8"));
    same(report.finished, true, "finished");
    same(report.counts.answers, 3 * due + 1, "answers, with the one taken back");
    same(report.counts.withdrawn, 1, "answers taken back");
    same(report.counts.scored, 36, "answers that count");
    same(report.key_sha256, created.key_sha256, "the key of the report");
    console.log(execFileSync("/usr/bin/python3", [join(root, "tools/golden/study_report.py"), out], { encoding: "utf8" }).trim());
    check(readFileSync(join(out, "answers.csv"), "utf8").includes("'=1+1 <script>"), "a remark starts no formula");
    run("study", "export", study, "--feedback", "--out", join(work, "feedback"));
    const lines = readFileSync(join(work, "feedback/feedback.jsonl"), "utf8").trim().split("\n").map((line) => JSON.parse(line));
    const marks = lines.flatMap((line) => line.readers.flatMap((reader) => reader.marks));
    same(marks.length, 3, "marks in the feedback");
    const box = marks.find((mark) => mark.reason === "border");
    // At 150 % about the middle, 0.4 to 0.6 of the stage are 0.4333 to 0.5667 of the image.
    check(Math.abs(box.x - 0.4333) < 0.02 && Math.abs(box.w - 0.1333) < 0.02, `the box lies where it was drawn: ${JSON.stringify(box)}`);

    const page = await (await browser.newContext({ viewport: { width: 1000, height: 1200 } })).newPage();
    const problems = [];
    page.on("console", (message) => message.type() === "error" && problems.push(message.text()));
    await page.goto(`file://${join(out, "report.html")}`);
    check((await page.textContent("body")).includes("Krippendorff"), "the report opens");
    same(problems.join("; "), "", "problems of the report");
    if (shots) {
      await page.screenshot({ path: join(shots, "study-report.png") });
      await page.screenshot({ path: join(shots, "study-report-full.png"), fullPage: true });
    }

    // A fixed viewing time: the image comes when the reader is ready, goes again, and nothing is taken back.
    const brief = join(work, "brief");
    const code = JSON.parse(run("study", "new", "--real", join(work, "real"), "--synthetic", `phantom-a=${join(work, "a")}`, "--split", "all", "--readers", "1",
      "--images", "4", "--anchors", "1", "--strata", "none", "--practice", "1", "--practice-feedback", "--repeats", "0", "--ask", "none",
      "--viewing-seconds", "0.4", "--out", brief, "--json")).readers[0].code;
    await end("SIGTERM");
    port = 0;
    const reader = new Reader(browser, await serve(brief), code, new Map(), 0.5, desktop);
    await reader.open();
    await reader.enter();
    await reader.begin();
    check(await reader.page.isVisible("#show"), "the reader says when");
    await reader.page.keyboard.press("r");
    await reader.page.keyboard.press("3");
    await reader.page.focus("#stage");
    await reader.page.keyboard.press("Enter");
    check((await reader.page.textContent("#missing")).includes("look at the image first"), "no answer before the image was seen");
    await reader.page.click("#show");
    await reader.page.waitForFunction(() => document.querySelector("#cover-text").textContent.includes("time for this image is over"));
    check(!(await reader.page.evaluate(() => document.querySelector("#image").hasAttribute("src"))), "the image is gone");
    await reader.save();
    check(/The last image was (a real photograph|synthetic)/.test(await reader.page.textContent("#alert")), "practice tells the source");
    check(!(await reader.page.isVisible("#undo")), "nothing is taken back");
    same(reader.problems.join("; "), "", "problems on the console");
  } finally {
    await browser.close();
  }
  await end("SIGTERM");
  console.log("a whole study by three readers: passed");
}

let status = 0;
try {
  await main();
} catch (error) {
  console.error(error);
  status = 1;
} finally {
  if (server && server.exitCode === null) server.kill("SIGKILL");
  rmSync(work, { recursive: true, force: true });
}
process.exit(status);
