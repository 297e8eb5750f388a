// Prints "N passed, N failed" from the test runner's JSON report; the exit status is non-zero on any failure.
const { readFileSync } = require('node:fs')
const [, , path, status] = process.argv
let passed = 0
let failed = 0
try {
  const report = JSON.parse(readFileSync(path, 'utf8'))
  passed = report.numPassedTests
  failed = report.numFailedTests
  for (const suite of report.testResults) {
    if (suite.status === 'failed' && suite.assertionResults.every((test) => test.status !== 'failed'))
      failed += 1
  }
} catch {
  failed = 1 // no report: the checks before the tests failed, or nothing could be installed
}
if (status !== '0' && failed === 0) failed = 1
process.stdout.write(`${passed} passed, ${failed} failed\n`)
process.exit(failed === 0 && passed > 0 ? 0 : 1)
