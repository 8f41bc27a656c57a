/** Run by a test in several processes: waits for its word, then prints what the pepper of a file makes of a text. */
import { fingerprint, pepperFromFile } from '@tallygate/identity'

const [file] = process.argv.slice(2)
if (file === undefined) throw new Error('name the file of the pepper')
process.stdout.write('ready\n')
process.stdin.once('data', () => {
  process.stdout.write(`${fingerprint(pepperFromFile(file), 'text')}\n`)
  process.stdin.destroy()
})
