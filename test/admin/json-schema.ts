/** As much of JSON Schema 2020-12 as the document uses; an unknown keyword is an error, so that nothing goes unchecked. */

type Schema = Readonly<Record<string, unknown>>

const ANNOTATIONS = new Set(['description', 'examples', 'title', 'default', '$schema', 'id'])

/**
 * What is wrong with `value`, empty where nothing is. Members that the schema does not name are wrong, too, unless it says
 * `additionalProperties`: an answer may not say what its document does not.
 */
export function violations(document: Schema, schema: Schema, value: unknown, at = '$'): string[] {
  const found: string[] = []
  const inner = (sub: unknown, part: unknown, where: string) =>
    found.push(...violations(document, sub as Schema, part, where))
  for (const [keyword, rule] of Object.entries(schema)) {
    if (ANNOTATIONS.has(keyword)) continue
    switch (keyword) {
      case '$ref':
        inner(resolve(document, rule as string), value, at)
        break
      case 'type':
        if (!isOfType(rule as string, value)) found.push(`${at} is not ${String(rule)}`)
        break
      case 'const':
        if (value !== rule) found.push(`${at} is not ${JSON.stringify(rule)}`)
        break
      case 'enum':
        if (!(rule as unknown[]).includes(value)) found.push(`${at} is none of ${JSON.stringify(rule)}`)
        break
      case 'pattern':
        if (!new RegExp(rule as string, 'u').test(String(value)))
          found.push(`${at} does not match ${String(rule)}`)
        break
      case 'format':
        if (rule !== 'date-time') found.push(`${at}: unknown format ${String(rule)}`)
        else if (!/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z$/.test(String(value)))
          found.push(`${at} is not a time`)
        break
      case 'minimum':
        if ((value as number) < (rule as number)) found.push(`${at} is below ${String(rule)}`)
        break
      case 'maximum':
        if ((value as number) > (rule as number)) found.push(`${at} is above ${String(rule)}`)
        break
      case 'maxLength':
      case 'minLength':
        break // of requests only
      case 'anyOf': {
        const tries = (rule as Schema[]).map((each) => violations(document, each, value, at))
        if (tries.every((each) => each.length > 0)) found.push(`${at} fits none: ${tries.flat().join('; ')}`)
        break
      }
      case 'items':
        if (Array.isArray(value)) value.forEach((each, i) => inner(rule, each, `${at}[${i}]`))
        break
      case 'required':
        for (const name of rule as string[])
          if (!Object.hasOwn(value as object, name)) found.push(`${at}.${name} is missing`)
        break
      case 'properties':
        for (const [name, each] of Object.entries((value ?? {}) as object)) {
          const sub = (rule as Record<string, unknown>)[name]
          if (sub !== undefined) inner(sub, each, `${at}.${name}`)
          else if (schema['additionalProperties'] === undefined)
            found.push(`${at}.${name} is not in the document`)
        }
        break
      case 'additionalProperties':
        if (schema['properties'] === undefined && rule !== false)
          for (const [name, each] of Object.entries((value ?? {}) as object))
            inner(rule, each, `${at}.${name}`)
        break
      case 'propertyNames':
        break
      default:
        found.push(`${at}: unknown keyword ${keyword}`)
    }
  }
  return found
}

export function resolve(document: Schema, ref: string): Schema {
  return ref
    .slice(2)
    .split('/')
    .reduce<unknown>(
      (node, key) => (node as Record<string, unknown>)[key.replaceAll('~1', '/')],
      document,
    ) as Schema
}

function isOfType(type: string, value: unknown): boolean {
  switch (type) {
    case 'object':
      return typeof value === 'object' && value !== null && !Array.isArray(value)
    case 'array':
      return Array.isArray(value)
    case 'integer':
      return Number.isInteger(value)
    default:
      return typeof value === type
  }
}
