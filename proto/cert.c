#include "proto/cert.h"

#include <errno.h>
#include <openssl/bio.h>
#include <openssl/pem.h>
#include <openssl/x509.h>
#include <stdio.h>

static int print_time(const ASN1_TIME *at, char ret_end[CERT_TIME_MAX])
{
    BIO *text = BIO_new(BIO_s_mem());

    if (!text)
        return -ENOMEM;
    int size = ASN1_TIME_print(text, at) == 1 ? BIO_read(text, ret_end, CERT_TIME_MAX - 1) : 0;
    BIO_free(text);
    ret_end[size > 0 ? size : 0] = '\0';
    return 0;
}

int cert_expired(const char *path, char ret_end[CERT_TIME_MAX])
{
    FILE *file = fopen(path, "re");

    if (!file)
        return -errno;
    X509 *cert = PEM_read_X509(file, NULL, NULL, NULL);
    (void)fclose(file);
    if (!cert)
        return -EBADMSG;
    const ASN1_TIME *end = X509_get0_notAfter(cert);
    int rc = X509_cmp_current_time(end) < 0;
    if (rc == 1 && print_time(end, ret_end) < 0)
        rc = -ENOMEM;
    X509_free(cert);
    return rc;
}
