/* cert - when a certificate of ours ends, so that a broker's "certificate unknown" gets its reason. */
#ifndef PROTO_CERT_H
#define PROTO_CERT_H

#define CERT_TIME_MAX 64

/* 1: the first certificate of this PEM file is out of date by the machine's clock, *ret_end says since when
 * ("Nov 23 00:01:55 2026 GMT"); 0: it is not; -ENOENT and its like: no such file; -EBADMSG: no certificate. */
int cert_expired(const char *path, char ret_end[CERT_TIME_MAX]);

#endif
