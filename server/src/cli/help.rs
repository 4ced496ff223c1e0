//! The help pages in two languages. English stands at the arguments themselves; this table holds the Chinese. Services bring
//! both for their own verbs.

use clap::{Command, CommandFactory};
use yunzhan_base::config::Lang;

use super::arguments::Arguments;
use super::service_verbs;

/// Chinese for each command, by its path.
const COMMANDS: &[(&str, &str)] = &[
    ("", "微信小程序的整个服务端, 一个程序"),
    ("serve", "提供服务 (默认)"),
    ("check", "检查配置与数据目录, 列出每一处错误"),
    ("reload", "让正在运行的进程重新读取配置"),
    ("db", "文档: 集合, 索引, 以及其中的内容"),
    ("db collections", "列出环境中的集合"),
    ("db add-collection", "添加集合"),
    ("db permission", "设置用户对集合的权限"),
    ("db rules", "显示或设置集合的安全规则"),
    ("db indexes", "列出集合的索引"),
    ("db add-index", "添加索引; 建立期间集合照常使用"),
    ("db drop-index", "删除索引"),
    ("db count", "统计文档数"),
    ("db find", "显示文档, 每行一个"),
    ("db import", "从文件添加文档; 中断后用同一命令继续"),
    ("db explain", "显示查询如何找到文档, 以及代价"),
    ("rules", "安全规则: 事先看它如何回答"),
    ("rules test", "说明规则的回答, 指出不成立的子句; 允许时退出码为 0, 拒绝时为 1"),
    ("waf", "攻击防护规则: 哪些在用, 如何处理一个请求, 以及谁在攻击"),
    ("waf show", "显示正在使用的规则与导入过的规则集"),
    ("waf import", "检查一个规则发行包 (如 OWASP CRS), 复制到数据目录并启用"),
    ("waf use", "改用内置规则 (starter) 或导入过的规则集"),
    ("waf test", "说明规则如何处理一个请求; 放行时退出码为 0, 拒绝时为 1"),
    ("waf attempts", "列出最近一小时与一天内攻击次数最多的地址与用户"),
    ("fault", "故障演练: 有意让数据库或上游变慢或失败, 到时自动结束"),
    ("fault show", "显示正在生效的故障, 何时结束, 以及发生的次数"),
    ("fault set", "设置故障, 取代原有的故障; 最长 30 分钟, 到时自动结束"),
    ("fault clear", "立即结束故障"),
    ("node", "节点: 使用此数据库的服务器, 以及各自独自承担的工作"),
    ("node list", "列出节点 (失效的保留一小时) 与各自持有的租约"),
    ("task", "后台任务: 各自何时运行过, 结果如何, 何时再运行"),
    ("task list", "列出后台任务"),
    ("task run", "立即运行一个任务并等它结束; 成功时退出码为 0"),
    ("token", "输出一个用于试验的访问令牌; 仅限开发环境"),
    ("version", "输出版本"),
];

/// Chinese for each argument, by its name; the same name means the same everywhere.
const ARGUMENTS: &[(&str, &str)] = &[
    ("data", "数据目录; 首次启动时创建"),
    ("config", "配置文件 [默认: 数据目录中的 yunzhan.toml, 如果存在]"),
    ("json", "输出 JSON, 供程序读取"),
    ("lang", "界面语言 [默认: 取自 LC_ALL, LC_MESSAGES 或 LANG]"),
    ("env", "环境 id"),
    ("collection", "集合名"),
    ("permission", "READONLY, PRIVATE, ADMINWRITE 或 ADMINONLY [默认: PRIVATE]"),
    ("preset", "READONLY, PRIVATE, ADMINWRITE 或 ADMINONLY"),
    ("rules_file", "JSON 文件, 含 read, write, create, update 与 delete; 省略则显示规则"),
    ("operation", "调用做什么: read, create, update 或 delete"),
    ("openid", "调用者的 openid; 没有 openid, uid 与角色即为未登录"),
    ("uid", "调用者的 uid"),
    ("roles", "调用者的角色; 可重复"),
    ("asked_query", "此查询的全部文档, 用扩展 JSON"),
    ("document_id", "具有此 id 的文档"),
    ("document", "此文档, 用扩展 JSON"),
    ("written", "写入的内容, 用扩展 JSON"),
    ("draft", "规则草稿的文件, 代替集合自己的规则"),
    ("keys", "字段, 最重要的在前; FIELD:-1 为降序, FIELD:2dsphere 为地理位置"),
    ("unique", "任何两个文档的值不得相同"),
    ("name", "索引名 [默认: 由字段组成]"),
    ("wait", "等到索引建成; Ctrl-C 只结束等待, 不影响建立"),
    ("index", "索引名, 见 `db indexes`"),
    ("query", "要哪些文档, 用扩展 JSON; 省略则为全部"),
    ("order", "次序, 如 '{\"age\":-1}'"),
    ("fields", "要显示的字段, 如 '{\"name\":1}'"),
    ("import_file", "文件, 每行一个扩展 JSON 文档; '-' 为标准输入, 中断后不能继续"),
    ("keep_existing", "id 已存在的文档保持原样; 省略则遇到第一个即停止"),
    ("again", "再次导入已导入过的文件"),
    ("import_name", "导入的名称, 用于路径每次不同的文件 [默认: 由路径得出]"),
    ("skip", "先跳过的文档数"),
    ("limit", "最多找出的文档数"),
    ("release", "规则目录: OWASP CRS 发行包, 或含 main.conf 的目录"),
    ("set", "starter, 或导入时显示的哈希的前几位"),
    ("method", "请求方法 [默认: GET]"),
    ("target", "路径与查询, 如 '/a?id=1'"),
    ("headers", "请求头, 如 'content-type: application/json'; 可重复"),
    ("request_body", "请求体; @FILE 表示文件内容"),
    ("all_rules", "也显示只计数或只跳转的规则, 以及未全部命中的规则链"),
    ("rows", "地址与用户各最多显示多少行 [默认: 20]"),
    (
        "fault_rules",
        "POINT 为 sql_read, sql_write, sql_write_answer 或 upstream; EFFECT 为 fail 或延迟时间; SHARE 为比例 [默认: 100%]",
    ),
    ("lasting", "持续多久, 如 90s, 最长 30m"),
    ("everywhere", "也让其他每个节点提前运行一次, 不等其结束"),
    ("task", "任务名, 见 `task list`"),
    ("user", "登录的用户名"),
    ("help", "显示帮助"),
    ("version", "输出版本"),
];

const TEMPLATE_ZH: &str = "{about}\n\n用法: {usage}\n\n{all-args}";

/// The verbs of the server itself that stand first on its help page; the services' follow, and then the others.
const FIRST: usize = 3;

/// The command in one language.
pub(super) fn command(lang: Lang) -> Command {
    let mut command = with_services(Arguments::command());
    command.build();
    match lang {
        Lang::En => command,
        Lang::Zh => in_chinese(command, ""),
    }
}

fn with_services(mut command: Command) -> Command {
    let families: Vec<Command> = service_verbs::commands().collect();
    let own: Vec<String> =
        command.get_subcommands().map(|verb| verb.get_name().to_owned()).collect();
    for (place, name) in own.iter().enumerate() {
        let order = if place < FIRST { place } else { place + families.len() };
        command = command.mut_subcommand(name, |verb| verb.display_order(order));
    }
    let in_order = families.into_iter().enumerate();
    command.subcommands(in_order.map(|(place, family)| family.display_order(FIRST + place)))
}

fn about(path: &str) -> Option<&'static str> {
    look_up(COMMANDS, path).or_else(|| service_verbs::about_in_chinese(path))
}

fn argument(path: &str, name: &str) -> Option<&'static str> {
    service_verbs::parameter_in_chinese(path, name).or_else(|| look_up(ARGUMENTS, name))
}

fn in_chinese(command: Command, path: &str) -> Command {
    let about = about(path);
    let has_verbs = command.has_subcommands();
    let template = if has_verbs {
        "{about}\n\n用法: {usage}\n\n命令:\n{subcommands}\n\n选项:\n{options}"
    } else {
        TEMPLATE_ZH
    };
    let names: Vec<String> =
        command.get_subcommands().map(|verb| verb.get_name().to_owned()).collect();
    let mut command =
        command.about(about.unwrap_or_default()).help_template(template).mut_args(|argument| {
            let heading = if argument.is_positional() { "参数" } else { "选项" };
            // Below a heading of its own, clap would sort them by their names.
            let argument = match argument.get_index() {
                Some(index) => argument.display_order(index),
                None => argument,
            };
            match self::argument(path, argument.get_id().as_str()) {
                Some(text) => argument.help(text).help_heading(heading),
                None => argument,
            }
        });
    for name in names {
        let below = if path.is_empty() { name.clone() } else { format!("{path} {name}") };
        command = command.mut_subcommand(&name, |verb| in_chinese(verb, &below));
    }
    command
}

fn look_up(table: &'static [(&str, &str)], name: &str) -> Option<&'static str> {
    table.iter().find(|(known, _)| *known == name).map(|(_, text)| *text)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(command: &Command, path: &str) {
        assert!(about(path).is_some(), "no Chinese for {path:?}");
        for argument in command.get_arguments() {
            let name = argument.get_id().as_str();
            assert!(
                super::argument(path, name).is_some(),
                "no Chinese for the argument {name:?} of {path:?}"
            );
        }
        for verb in command.get_subcommands() {
            check(verb, format!("{path} {}", verb.get_name()).trim_start());
        }
    }

    #[test]
    fn everything_is_said_in_chinese_too() {
        check(&command(Lang::Zh), "");
        command(Lang::Zh).debug_assert();
    }
}
