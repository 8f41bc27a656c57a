/** Parts that rows of several providers share. */
export const FREE = { ceiling: 'none', answers: [] } as const
export const COUNTING = { operation: 'count_tokens', usage: 'count', bills: ['nothing'], counts: 'nothing' } as const
/** What may stand before a path that other servers have as well: nothing, a version, or one of a few words. */
export const under = (words: string, end: string): RegExp => new RegExp(`(?:^|/(?:v\\d+\\w*|${words}))${end}/?$`, 'i')
