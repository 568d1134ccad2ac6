/* Timestamps: parsed, and known by their shape. The same as timestamp.py. */

#ifndef TRACKPARSE_TIMESTAMP_H
#define TRACKPARSE_TIMESTAMP_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

#define TIMESTAMP_SIZE 19 /* bytes, without a fraction of a second */
#define NO_TIME INT64_MIN
#define NOT_DIGITS (-1)
#define TIME_PARTS 7
/* From the first of March of the year 0 to 1970. Years that begin in March have their leap day at the end. */
#define DAYS_BEFORE_1970 719468

/* The number of n digits, or NOT_DIGITS. */
static inline int digits(const uint8_t *p, int n)
{
    int value = 0;
    for (int i = 0; i < n; i++) {
        unsigned d = (unsigned)p[i] - '0';
        if (d > 9)
            return NOT_DIGITS;
        value = value * 10 + (int)d;
    }
    return value;
}

/* Microseconds since 1970, NO_TIME if it is not valid or has a zone. */
static int64_t parse_timestamp(const uint8_t *p, size_t n)
{
    static const uint8_t month_days[] = {31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    if (n < 19 || n == 20 || n > 26 || p[4] != '-' || p[7] != '-' || (p[10] != ' ' && p[10] != 'T') || p[13] != ':' ||
        p[16] != ':')
        return NO_TIME;
    int year = digits(p, 4), month = digits(p + 5, 2), day = digits(p + 8, 2);
    int hour = digits(p + 11, 2), minute = digits(p + 14, 2), second = digits(p + 17, 2);
    if (year < 1 || month < 1 || month > 12 || day < 1 || day > month_days[month - 1] || hour < 0 || hour > 23 ||
        minute < 0 || minute > 59 || second < 0 || second > 59)
        return NO_TIME;
    if (month == 2 && day == 29 && (year % 4 != 0 || (year % 100 == 0 && year % 400 != 0)))
        return NO_TIME;
    int fraction = 0;
    if (n > 19) {
        if (p[19] != '.' || (fraction = digits(p + 20, (int)n - 20)) < 0)
            return NO_TIME;
        for (size_t i = n; i < 26; i++)
            fraction *= 10;
    }
    int64_t y = year - (month <= 2);
    int64_t day_of_year = (153 * (month + (month > 2 ? -3 : 9)) + 2) / 5 + day - 1;
    int64_t days = 365 * y + y / 4 - y / 100 + y / 400 + day_of_year - DAYS_BEFORE_1970;
    return (((days * 24 + hour) * 60 + minute) * 60 + second) * 1000000 + fraction;
}

/* Year, month, day, hour, minute, second and microsecond of what parse_timestamp gave. */
static void time_parts(int64_t microseconds, int parts[TIME_PARTS])
{
    const int64_t second = 1000000, day = 86400 * second;
    int64_t days = microseconds / day, left = microseconds % day;
    if (left < 0) {
        left += day;
        days--;
    }
    /* Counted from a first of March, 400 years have 146,097 days, and a hundred or four of them as many as here. */
    days += DAYS_BEFORE_1970;
    int64_t cycle = (days >= 0 ? days : days - 146096) / 146097, n = days - cycle * 146097;
    int64_t y = (n - n / 1460 + n / 36524 - n / 146096) / 365, day_of_year = n - (365 * y + y / 4 - y / 100);
    int64_t month = (5 * day_of_year + 2) / 153; /* 0 is March */
    parts[0] = (int)(400 * cycle + y + (month > 9));
    parts[1] = (int)(month > 9 ? month - 9 : month + 3);
    parts[2] = (int)(day_of_year - (153 * month + 2) / 5 + 1);
    parts[3] = (int)(left / (3600 * second));
    parts[4] = (int)(left / (60 * second) % 60);
    parts[5] = (int)(left / second % 60);
    parts[6] = (int)(left % second);
}

/* How many bytes from `at` on have the shape of a timestamp: all TIMESTAMP_SIZE, or fewer. */
static size_t timestamp_shape(const uint8_t *data, size_t at, size_t end)
{
    static const char shape[] = "0000-00-00 00:00:00";
    size_t n = 0;
    for (; shape[n] && at + n < end; n++) {
        uint8_t c = data[at + n];
        if (shape[n] == '0' ? c < '0' || c > '9' : shape[n] == ' ' ? c != ' ' && c != 'T' : c != (uint8_t)shape[n])
            break;
    }
    return n;
}

/* Where the first timestamp of a line begins, or its opening quote; the line's end if it has no timestamp. */
static size_t record_start(const uint8_t *data, size_t start, size_t end)
{
    size_t quotes = 0;
    for (size_t at = start; at < end; at++) {
        if (timestamp_shape(data, at, end) == TIMESTAMP_SIZE)
            /* Behind an odd number of quotes, another one closes a name of the header that the record is run into. */
            return at > start && data[at - 1] == '"' && quotes % 2 ? at - 1 : at;
        quotes += data[at] == '"';
    }
    return end;
}

/* Whether two timestamps without a fraction are the same. Three overlapping words: memcmp would be a call for each
 * record. */
static inline int is_same_time(const uint8_t *p, const uint8_t *q)
{
    static const size_t at[3] = {0, 8, TIMESTAMP_SIZE - 8};
    uint64_t differs = 0;
    for (int i = 0; i < 3; i++) {
        uint64_t a, b;
        memcpy(&a, p + at[i], 8);
        memcpy(&b, q + at[i], 8);
        differs |= a ^ b;
    }
    return !differs;
}

#endif
