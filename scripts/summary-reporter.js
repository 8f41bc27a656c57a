import mocha from 'mocha'

/** Mocha's `spec` reporter, with one plain closing line that any CI can read. */
export default class SummaryReporter extends mocha.reporters.Spec {
  epilogue() {
    super.epilogue()
    const { passes, failures, pending } = this.stats
    process.stdout.write(`\n${passes} passed, ${failures} failed, ${pending} skipped\n`)
  }
}
