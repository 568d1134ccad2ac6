/* Constants: the same as in codes.py. */

#ifndef TRACKPARSE_CODES_H
#define TRACKPARSE_CODES_H

/* Dialects. */
enum { RFC4180, PHP };

/* Why index_records stopped. */
enum { DONE, MORE, HEADER, LIMIT };

/* Reasons why a record is bad. */
enum { UNCLOSED_QUOTE = 1, TEXT_AFTER_QUOTE, FIELD_COUNT, BAD_UTF8, BAD_TIMESTAMP, TOO_LONG, BAD_HEADER };

/* In place of a status, a reason, a position or a code. */
enum {
    NEEDS_MORE = -1,       /* the answer depends on bytes that are not there yet */
    NOT_WITHIN_LIMIT = -2, /* no answer within max_record_bytes */
    NO_MEMORY = -3,
    TOO_MANY_BYTES = -4, /* a dictionary's offsets have 31 bits */
};

/* In place of the number of a field: there is no such column. */
enum { NO_COLUMN = -1 };
/* In place of the code of a value: the value is null. */
enum { NULL_CODE = -1 };

/* One call returns no more rejects than this: each takes 48 bytes, even if it has two in the log. */
#define MOST_REJECTS 4096
/* A line that is longer than this is not a header. */
#define HEADER_BYTES (1 << 16)
/* No more names of known columns than this: each is a bit of a word. */
#define MOST_NAMES 64

/* The first word of a row of the field table: where the record starts, and its dialect in the top bit. */
#define START_MASK 0x7FFFFFFFu
#define DIALECT_SHIFT 31

#endif
