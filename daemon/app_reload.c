/* Reload: everything that can fail is done on main before the pipeline hears of it; the pipeline
 * swaps at a step. A bad reload changes nothing but a counter, and is logged once. */
#include "daemon/app.h"

#include "proto/json.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

void app_answer(struct app *app, uint64_t ticket, int code, const char *text)
{
    char bytes[1024];
    struct json_text out = { bytes, sizeof bytes, 0 };

    if (!ticket)
        return;
    if (code == 0) {
        json_printf(&out, "{\"ok\":true,\"generation\":%u}", app->snapshot.generation);
    } else {
        json_printf(&out, "{\"error\":");
        json_quote(&out, text);
        json_printf(&out, "}");
    }
    struct clock_reading now;
    clock_read(&now);
    control_answer(app->control, ticket, bytes, json_full(&out) ? sizeof bytes - 1 : out.length,
                   now.mono_ns);
}

static void refuse(struct app *app, uint64_t ticket, const char *text)
{
    app->snapshot.reloads_failed++;
    (void)snprintf(app->snapshot.reload_error, sizeof app->snapshot.reload_error, "%.250s", text);
    app_answer(app, ticket, -EINVAL, text);
}

/* The first error, for the counter's neighbour in the status and for who asked. */
static void refuse_diags(struct app *app, uint64_t ticket, int64_t now_ns)
{
    char text[ERR_FILE_MAX + ERR_TEXT_MAX + 32] = "refused";

    log_diags(&app->log, &app->diags, now_ns);
    for (uint32_t i = 0; i < app->diags.count; i++)
        if (app->diags.items[i].severity == DIAG_ERROR) {
            (void)err_format(&app->diags.items[i].err, text, sizeof text);
            break;
        }
    refuse(app, ticket, text);
}

static int load_next(struct app *app, struct config *config)
{
    const char *packs[CONFIG_PACKS_MAX], *dbcs[CONFIG_DBCS_MAX], *key;
    struct clock_reading now;
    int code = config_load(app->options.config, &app->diags, config);

    if (code < 0)
        return code;
    key = config_restart_key(&app->config, config);
    if (key) {
        diags_add(&app->diags, DIAG_ERROR, "", app->options.config, 0, 0,
                  "reload: '%s' has changed; that needs a restart", key);
        return -EPERM;
    }
    clock_read(&now);
    for (uint32_t i = 0; i < config->pack_count; i++)
        packs[i] = config->packs[i];
    for (uint32_t i = 0; i < config->dbc_count; i++)
        dbcs[i] = config->dbcs[i];
    const struct generation_config from = { .packs = packs, .pack_count = config->pack_count,
        .dbcs = dbcs, .dbc_count = config->dbc_count,
        .today_utc_ns = app->playback ? 0 : now.wall_ns };
    return generation_load(&from, &app->diags, &app->next);
}

static void forget_next(struct app *app)
{
    generation_close(app->next);
    free(app->next_config);
    app->next = NULL;
    app->next_config = NULL;
}

void app_reload(struct app *app, uint64_t ticket)
{
    struct clock_reading now;

    clock_read(&now);
    if (app->next_config) {
        refuse(app, ticket, "a reload is under way");
        return;
    }
    memset(&app->diags, 0, sizeof app->diags);
    app->next_config = calloc(1, sizeof *app->next_config);
    if (!app->next_config || load_next(app, app->next_config) < 0) {
        refuse_diags(app, ticket, now.mono_ns);
        forget_next(app);
        return;
    }
    log_diags(&app->log, &app->diags, now.mono_ns); /* warnings */
    app->next->number = app->generation->number + 1;
    app->reload_ticket = ticket;
    if (!worker_send(&app->flow.worker, &(struct order){ .kind = ORDER_RELOAD, .ticket = ticket,
                     .generation = app->next })) {
        refuse(app, ticket, "the pipeline does not take orders now");
        forget_next(app);
    }
}

/* The sink needs the new databases before the first clip that names them. */
static void send_artifacts(struct app *app)
{
    struct artifact_set *set = NULL;
    struct clock_reading now;
    struct err err = { .text = "the store does not take orders now" };

    if (!app->config.upload.artifacts)
        return;
    if (artifact_set_open(app->generation, &set, &err) == 0 &&
        worker_send(&app->store.worker, &(struct order){ .kind = ORDER_RELOAD, .artifacts = set }))
        return;
    artifact_set_close(set);
    clock_read(&now);
    log_line(&app->log, LOG_ERROR, now.mono_ns, "artifacts of generation %u: %s",
             app->generation->number, err.text);
}

void app_reloaded(struct app *app, const struct report *report)
{
    uint8_t digest[SHA256_BYTES];
    struct clock_reading now;

    clock_read(&now);
    if (report->code < 0) {
        log_line(&app->log, LOG_ERROR, now.mono_ns, "reload: %s", report->text);
        refuse(app, app->reload_ticket, report->text);
        forget_next(app);
        return;
    }
    generation_close(app->generation);
    app->generation = app->next;
    app->next = NULL;
    app->config.metrics = app->next_config->metrics;
    free(app->next_config);
    app->next_config = NULL;
    app->snapshot.generation = app->generation->number;
    generation_digest(app->generation, digest);
    hex_from(digest, SHA256_BYTES, app->snapshot.digest);
    app->snapshot.reloads++;
    app->snapshot.reload_error[0] = 0;
    send_artifacts(app);
    app_answer(app, app->reload_ticket, 0, "");
}
