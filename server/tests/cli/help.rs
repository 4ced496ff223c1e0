//! Help pages, the version, and complaints about the command line itself.

use expect_test::expect;

use crate::program::Place;

#[test]
fn help_in_english() {
    expect![[r#"
        The whole server side of a WeChat mini-program

        Usage: yunzhan [OPTIONS] [COMMAND]

        Commands:
          serve    Serve (the default)
          check    Check the configuration and the data folder, and name every mistake
          reload   Make the serving process read its configuration again
          env      Environments: the mini-programs on this server
          user     People: who has logged in, and their roles
          db       Documents: collections, their indexes, and what is in them
          rules    Security rules: what they answer, before anybody asks
          waf      Rules against attacks: which guard, what they do with a request, and who attacks
          fault    Faults on purpose, for drills: a slow or failing database or upstream, which ends by itself
          node     Nodes: the servers on this database, and what each does alone
          task     Background tasks: when each ran, how that ended, and when it runs next
          token    Print an access token for trying things out; development environments only
          version  Print the version

        Options:
              --config <FILE>  The configuration [default: yunzhan.toml in the data folder, if there is one] [env: YUNZHAN_CONFIG]
              --data <DIR>     The data folder; made at the first start [env: YUNZHAN_DATA] [default: ./yunzhan-data]
              --json           Print JSON, for programs
              --lang <zh|en>   Language for people [default: from LC_ALL, LC_MESSAGES or LANG]
          -h, --help           Print help
          -V, --version        Print version
    "#]].assert_eq(&Place::new().good(&["--help"]));
}

#[test]
fn help_in_chinese() {
    expect![[r#"
        微信小程序的整个服务端, 一个程序

        用法: yunzhan [OPTIONS] [COMMAND]

        命令:
          serve    提供服务 (默认)
          check    检查配置与数据目录, 列出每一处错误
          reload   让正在运行的进程重新读取配置
          env      环境: 本服务器上的小程序
          user     用户: 登录过的人, 以及他们的角色
          db       文档: 集合, 索引, 以及其中的内容
          rules    安全规则: 事先看它如何回答
          waf      攻击防护规则: 哪些在用, 如何处理一个请求, 以及谁在攻击
          fault    故障演练: 有意让数据库或上游变慢或失败, 到时自动结束
          node     节点: 使用此数据库的服务器, 以及各自独自承担的工作
          task     后台任务: 各自何时运行过, 结果如何, 何时再运行
          token    输出一个用于试验的访问令牌; 仅限开发环境
          version  输出版本

        选项:
              --config <FILE>  配置文件 [默认: 数据目录中的 yunzhan.toml, 如果存在] [env: YUNZHAN_CONFIG]
              --data <DIR>     数据目录; 首次启动时创建 [env: YUNZHAN_DATA] [default: ./yunzhan-data]
              --json           输出 JSON, 供程序读取
              --lang <zh|en>   界面语言 [默认: 取自 LC_ALL, LC_MESSAGES 或 LANG]
          -h, --help           显示帮助
          -V, --version        输出版本
    "#]].assert_eq(&Place::new().good(&["--lang", "zh", "--help"]));
}

#[test]
fn help_of_a_verb() {
    expect![[r#"
        Add an environment

        Usage: yunzhan env add [OPTIONS] <ID>

        Arguments:
          <ID>  Environment id: lower-case letters, digits and '-', beginning with a letter

        Options:
              --appid <APPID>           The mini-program's appid; without one only the development login works
              --app-secret-file <FILE>  A file that holds the mini-program's secret
              --host <HOST>             A host name that means this environment; may be repeated
              --origin <ORIGIN>         An origin whose pages may call it from a browser, such as https://h5.example.com; may be repeated
              --config <FILE>           The configuration [default: yunzhan.toml in the data folder, if there is one] [env: YUNZHAN_CONFIG]
              --data <DIR>              The data folder; made at the first start [env: YUNZHAN_DATA] [default: ./yunzhan-data]
              --json                    Print JSON, for programs
              --lang <zh|en>            Language for people [default: from LC_ALL, LC_MESSAGES or LANG]
          -h, --help                    Print help
    "#]].assert_eq(&Place::new().good(&["env", "add", "--help"]));
}

#[test]
fn help_of_documents() {
    expect![[r#"
        Documents: collections, their indexes, and what is in them

        Usage: yunzhan db [OPTIONS] <COMMAND>

        Commands:
          collections     List the collections of an environment
          add-collection  Add a collection
          permission      Set what people may do with a collection
          rules           Show the security rules of a collection, or set them
          indexes         List the indexes of a collection
          add-index       Add an index; it is built while the collection stays in use
          drop-index      Drop an index
          count           Count documents
          find            Show documents, one a line
          import          Add the documents of a file; the same command goes on after an interruption
          explain         Show how a query finds its documents, and what that costs

        Options:
              --config <FILE>  The configuration [default: yunzhan.toml in the data folder, if there is one] [env: YUNZHAN_CONFIG]
              --data <DIR>     The data folder; made at the first start [env: YUNZHAN_DATA] [default: ./yunzhan-data]
              --json           Print JSON, for programs
              --lang <zh|en>   Language for people [default: from LC_ALL, LC_MESSAGES or LANG]
          -h, --help           Print help
    "#]].assert_eq(&Place::new().good(&["db", "--help"]));
    expect![[r#"
        Add an index; it is built while the collection stays in use

        Usage: yunzhan db add-index [OPTIONS] <ENV> <NAME> <FIELD[:1|:-1]>...

        Arguments:
          <ENV>               Environment id
          <NAME>              The collection's name
          <FIELD[:1|:-1]>...  Fields, the most significant first; FIELD:-1 counts downwards, FIELD:2dsphere holds places

        Options:
              --unique         No two documents may have the same values
              --name <NAME>    The index's name [default: made from its fields]
              --wait           Wait until the index is built; Ctrl-C ends the waiting, not the building
              --config <FILE>  The configuration [default: yunzhan.toml in the data folder, if there is one] [env: YUNZHAN_CONFIG]
              --data <DIR>     The data folder; made at the first start [env: YUNZHAN_DATA] [default: ./yunzhan-data]
              --json           Print JSON, for programs
              --lang <zh|en>   Language for people [default: from LC_ALL, LC_MESSAGES or LANG]
          -h, --help           Print help
    "#]].assert_eq(&Place::new().good(&["db", "add-index", "--help"]));
    expect![[r#"
        显示文档, 每行一个

        用法: yunzhan db find [OPTIONS] <ENV> <NAME> [QUERY]

        参数:
          <ENV>    环境 id
          <NAME>   集合名
          [QUERY]  要哪些文档, 用扩展 JSON; 省略则为全部

        选项:
              --order <JSON>   次序, 如 '{"age":-1}'
              --fields <JSON>  要显示的字段, 如 '{"name":1}'
              --skip <N>       先跳过的文档数
              --limit <N>      最多找出的文档数
              --config <FILE>  配置文件 [默认: 数据目录中的 yunzhan.toml, 如果存在] [env: YUNZHAN_CONFIG]
              --data <DIR>     数据目录; 首次启动时创建 [env: YUNZHAN_DATA] [default: ./yunzhan-data]
              --json           输出 JSON, 供程序读取
              --lang <zh|en>   界面语言 [默认: 取自 LC_ALL, LC_MESSAGES 或 LANG]
          -h, --help           显示帮助
    "#]].assert_eq(&Place::new().good(&["--lang", "zh", "db", "find", "--help"]));
}

#[test]
fn the_version_names_the_data_format() {
    let version: serde_json::Value =
        serde_json::from_str(&Place::new().good(&["version", "--json"])).unwrap();
    assert_eq!(
        (&version["version"], &version["format"]),
        (&env!("CARGO_PKG_VERSION").into(), &1.into())
    );
}

#[test]
fn a_misused_command_line_exits_with_two() {
    let (code, _, complaint) = Place::new().run(&["srve"]);
    assert_eq!(code, 2);
    assert!(complaint.contains("a similar subcommand exists: 'serve'"), "{complaint}");
}
