import { existsSync } from 'node:fs'

/** Looked at in this order where neither `--config` nor SALLYPORT_CONFIG says otherwise. */
export const CONFIG_PATHS = ['config/sallyport.toml', '/etc/sallyport/sallyport.toml'] as const

/** The configuration file that a command reads, or undefined: then the defaults and the environment are all there is. */
export function configPath(
  option: string | undefined,
  env: Readonly<Record<string, string | undefined>>,
): string | undefined {
  return option ?? (env['SALLYPORT_CONFIG'] || undefined) ?? CONFIG_PATHS.find((path) => existsSync(path))
}
