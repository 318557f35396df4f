// Enough of Jenkins' declarative pipeline to run a Jenkinsfile under Groovy alone: stages in order, `sh` for real.
// Usage: groovy declarative.groovy JENKINSFILE BRANCH. Ends with the status of the first command that fails.
class Pipeline {
    Map env
    String branchName
    Map variables = [:]
    boolean runs = true

    def agent(Object any) { }
    def getAny() { 'any' }
    def options(Closure body) { within(body) }
    def disableConcurrentBuilds() { }
    def timeout(Map limit) { assert limit.time > 0 && limit.unit == 'HOURS' }
    def credentials(String id) { env[id.toUpperCase().replace('-', '_')] ?: '' }
    def environment(Closure body) { within(body) }
    void setProperty(String name, Object value) {
        if (name in ['env', 'branchName', 'variables', 'runs']) this.@"$name" = value
        else variables[name] = value.toString()
    }
    def stages(Closure body) { within(body) }
    def stage(String name, Closure body) {
        println "stage: ${name}"
        runs = true
        within(body)
    }
    def when(Closure body) { within(body) }
    def branch(String name) { runs = (name == branchName) }
    def steps(Closure body) { if (runs) within(body) else println 'skipped' }
    def sh(String script) {
        def process = new ProcessBuilder('sh', '-xe', '-c', script).inheritIO().directory(new File(env.WORKSPACE))
        process.environment().putAll(variables)
        def status = process.start().waitFor()
        if (status) System.exit(status)
    }
    private within(Closure body) {
        body.delegate = this
        body.resolveStrategy = Closure.DELEGATE_FIRST
        body()
    }
}

def variables = new HashMap(System.getenv())
variables.WORKSPACE = new File('.').canonicalPath
def binding = new Binding([env: variables, pipeline: { Closure body ->
    def pipeline = new Pipeline(env: variables, branchName: args[1])
    body.delegate = pipeline
    body.resolveStrategy = Closure.DELEGATE_FIRST
    body()
}])
new GroovyShell(binding).evaluate(new File(args[0]))
