/* Once a second: what the kernel says of each CAN interface, for status, metrics and manifests. */
#include "daemon/app.h"
#include "daemon/link.h"

#include <errno.h>

static bool wants_links(const struct app *app)
{
    if (app->playback)
        return false;
    for (uint32_t i = 0; i < app->config.source_count; i++)
        if (app->config.sources[i].kind == SOURCE_KIND_CAN)
            return true;
    return false;
}

static void ask_link(struct app *app, uint32_t source, int64_t now_ns)
{
    struct order order = { .kind = ORDER_LINK, .link.source = (uint8_t)source };
    struct clip_interface *interface = &order.link.interface;
    int code = link_ask(app->link_fd, app->config.sources[source].address, now_ns, interface);

    if (code == -ENODEV) /* not there: down, and its counters are gone with it */
        *interface = (struct clip_interface){ .known = true, .mono_ns = now_ns };
    else if (code < 0)
        return; /* the last answer stands, with its time */
    app->snapshot.interfaces[source] = *interface;
    /* A pipeline that takes no orders now hears it in a second. */
    (void)worker_send(&app->flow.worker, &order);
}

void app_ask_links(struct app *app, int64_t now_ns)
{
    if (now_ns < app->next_links_ns || !wants_links(app))
        return;
    app->next_links_ns = now_ns + LINK_EVERY_NS;
    if (app->link_fd < 0)
        app->link_fd = link_open();
    for (uint32_t i = 0; app->link_fd >= 0 && i < app->config.source_count; i++)
        if (app->config.sources[i].kind == SOURCE_KIND_CAN)
            ask_link(app, i, now_ns);
}
