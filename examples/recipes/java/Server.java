import com.sun.net.httpserver.HttpServer;
import java.net.InetSocketAddress;
import java.util.concurrent.Executors;

public class Server {
    public static void main(String[] args) throws Exception {
        HttpServer server = HttpServer.create(new InetSocketAddress(8080), 0);
        server.setExecutor(Executors.newFixedThreadPool(16));
        server.createContext("/", exchange -> {
            try (exchange) {
                if (exchange.getRequestURI().getPath().equals("/slow")) {
                    System.out.println("slow request begun");
                    try { Thread.sleep(4000); } catch (InterruptedException e) { return; }
                }
                exchange.sendResponseHeaders(200, 6);
                exchange.getResponseBody().write("hello\n".getBytes());
            }
        });
        server.start();
        // Without it the JVM cuts every request at SIGTERM. It takes all of its two seconds: the drain has waited for what was under way.
        Runtime.getRuntime().addShutdownHook(new Thread(() -> server.stop(2)));
    }
}
