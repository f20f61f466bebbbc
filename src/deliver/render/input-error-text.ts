import type { InputError } from '../../core/report/check-document.ts'
import { countText } from './edge-text.ts'
import { escapeText } from './escape-text.ts'

/** `file, line 3: message`; messages that name the file themselves stand alone. */
export function inputErrorText(error: InputError): string {
  if (error.line === undefined && error.message.startsWith(`${error.file} `)) return escapeText(error.message)
  return escapeText(`${error.file}${error.line === undefined ? '' : `, line ${error.line}`}: ${error.message}`)
}

/** What could not be read; '' when everything could. `limit` lines at most. */
export function renderInputErrors(errors: readonly InputError[], limit = Infinity): string {
  if (errors.length === 0) return ''
  const rest = errors.length - Math.min(errors.length, limit)
  return `${countText(errors.length, 'problem')} in the input (everything else was used)\n`
    + errors.slice(0, limit).map((e) => `  ${inputErrorText(e)}\n`).join('') + (rest > 0 ? `  … and ${rest} more\n` : '')
}
