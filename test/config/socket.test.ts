import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { configuredSocket, loadConfig } from '../../src/config/load.ts'

test('CFG-120 the admin socket is known while something else in the file is wrong, and nothing of the policy is read for it', async () => {
  const dir = await mkdtemp(join(tmpdir(), 'sallyport-'))
  try {
    const file = join(dir, 'sallyport.toml')
    const text = [
      'state_dir = "state"',
      '[policy]',
      'unfamiliar = "holdd"',
      'allowed_domains = ["https://example.com/"]',
      'denied_domains_files = ["missing.txt"]',
    ]
    await writeFile(file, text.join('\n'), { mode: 0o600 })
    expect((await loadConfig(file, {})).kind).toBe('invalid')
    expect(await configuredSocket(file, {})).toBe(join(dir, 'state', 'admin.sock'))
    expect(await configuredSocket(file, { SALLYPORT_ADMIN_SOCKET: '/run/other.sock' })).toBe(
      '/run/other.sock',
    )
    await writeFile(file, 'state_dir = ', { mode: 0o600 })
    expect(await configuredSocket(file, {})).toBeUndefined()
  } finally {
    await rm(dir, { recursive: true, force: true })
  }
})
