/* The corpus file: drives of several vehicle lines, each with its databases and packs.
 *   format: 1
 *   drives:
 *     - {logs: [a.log.zst], dbc: ["can0=a.dbc"], rules: [a.yaml]} */
#include "tools/backtest/backtest.h"
#include "tools/yaml_map.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static int complain(const struct yaml_tree *tree, const struct yaml_node *node, struct err *err,
                    const char *text)
{
    return err_at(err, -EBADMSG, yaml_file(tree), node ? node->line : 1, node ? node->column : 1,
                  "%s", text);
}

static int read_list(struct backtest *backtest, const struct yaml_tree *tree,
                     const struct yaml_node *node, bool has_bus, struct backtest_list *list,
                     struct err *err)
{
    if (!node)
        return 0;
    if (node->kind != YAML_LIST)
        return complain(tree, node, err, "is no list; write [ ... ]");
    for (const struct yaml_node *n = node->first; n; n = n->next) {
        if (n->kind != YAML_TEXT || !n->len)
            return complain(tree, n, err, "is no path");
        const char *path = yaml_map_path(&backtest->arena, tree, n->text, has_bus);
        if (!path)
            return err_plain(err, -ENOMEM, "no memory");
        if (backtest_list_add(list, path))
            return complain(tree, n, err, "is one too many: at most 16 in a list");
    }
    return 0;
}

static int read_drive(struct backtest *backtest, const struct yaml_tree *tree,
                      const struct yaml_node *node, struct err *err)
{
    static const char *const keys[] = { "logs", "dbc", "rules" };
    struct backtest_drive *drive;

    if (node->kind != YAML_MAP)
        return complain(tree, node, err, "is no map; a drive is {logs: [...], dbc: [...]}");
    int rc = yaml_map_check(tree, node, keys, sizeof keys / sizeof *keys, err);
    if (rc)
        return rc;
    if (backtest_add_log(backtest, NULL))
        return complain(tree, node, err, "is one drive too many");
    drive = &backtest->drives[backtest->drive_count - 1];
    rc = read_list(backtest, tree, yaml_get(node, "logs"), false, &drive->logs, err);
    if (!rc)
        rc = read_list(backtest, tree, yaml_get(node, "dbc"), true, &drive->dbcs, err);
    if (!rc)
        rc = read_list(backtest, tree, yaml_get(node, "rules"), false, &drive->packs, err);
    if (!rc && !drive->logs.count)
        rc = complain(tree, node, err, "this drive has no 'logs'");
    return rc;
}

static int read_corpus(struct backtest *backtest, const struct yaml_tree *tree, struct err *err)
{
    static const char *const keys[] = { "format", "drives" };
    const struct yaml_node *root = yaml_root(tree), *format = yaml_get(root, "format");
    const struct yaml_node *drives = yaml_get(root, "drives");

    if (root->kind != YAML_MAP || !format || format->kind != YAML_TEXT ||
        strcmp(format->text, "1") != 0)
        return complain(tree, format ? format : root, err,
                        "a corpus begins with 'format: 1' and 'drives:'");
    int rc = yaml_map_check(tree, root, keys, sizeof keys / sizeof *keys, err);
    if (rc)
        return rc;
    if (!drives || drives->kind != YAML_LIST)
        return complain(tree, drives ? drives : root, err, "'drives' must be a list");
    for (const struct yaml_node *n = drives->first; !rc && n; n = n->next)
        rc = read_drive(backtest, tree, n, err);
    return rc;
}

int backtest_add_corpus(struct backtest *backtest, const char *path, struct err *err)
{
    struct yaml_tree *tree;
    int rc = yaml_open_file(path, err, &tree);

    if (rc)
        return rc;
    rc = read_corpus(backtest, tree, err);
    yaml_close(tree);
    return rc;
}
