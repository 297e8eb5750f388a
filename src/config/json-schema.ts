import { z } from 'zod'
import { settingsSchema } from './schema.ts'
import { settingForms } from './setting.ts'

/** The JSON Schema of a configuration file, for editors (`sallyport config schema`); draft 7 is what TOML editors read. */
export function configJsonSchema(): Record<string, unknown> {
  const { $schema, ...rest } = z.toJSONSchema(settingsSchema, {
    io: 'input',
    target: 'draft-7',
    override: ({ zodSchema, jsonSchema }) => {
      const form = settingForms.get(zodSchema as unknown as z.ZodType)
      if (form) jsonSchema.description = `${jsonSchema.description ?? ''} Write ${form.form}.`
    },
  })
  return { $schema, title: 'Sallyport configuration', ...rest }
}

/** As it is shipped beside the configuration. */
export function configJsonSchemaText(): string {
  return `${JSON.stringify(configJsonSchema(), null, 2)}\n`
}
