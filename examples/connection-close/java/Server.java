import com.sun.net.httpserver.Filter;
import com.sun.net.httpserver.HttpExchange;
import com.sun.net.httpserver.HttpServer;
import java.io.IOException;
import java.net.InetAddress;
import java.net.InetSocketAddress;
import java.util.concurrent.Executors;

public class Server {
    static volatile boolean draining = false;

    public static void main(String[] args) throws IOException {
        HttpServer server = HttpServer.create(new InetSocketAddress(port("PORT", 8080)), 0);
        server.setExecutor(Executors.newFixedThreadPool(16));
        server.createContext("/", exchange -> answer(exchange, 200)).getFilters().add(
            Filter.beforeHandler("the last answer of its connection", exchange -> {
                if (draining) exchange.getResponseHeaders().set("Connection", "close");
            }));
        server.start();
        // For softstop alone: a port of its own, on loopback.
        HttpServer management = HttpServer.create(
            new InetSocketAddress(InetAddress.getLoopbackAddress(), port("MANAGEMENT_PORT", 8081)), 0);
        management.createContext("/drain", exchange -> {
            draining = exchange.getRequestMethod().equals("POST") || draining;
            answer(exchange, 200);
        });
        management.start();
        Runtime.getRuntime().addShutdownHook(new Thread(() -> server.stop(1)));
    }

    static int port(String variable, int otherwise) {
        String port = System.getenv(variable);
        return port == null ? otherwise : Integer.parseInt(port);
    }

    static void answer(HttpExchange exchange, int status) throws IOException {
        try (exchange) {
            exchange.sendResponseHeaders(status, 3);
            exchange.getResponseBody().write("ok\n".getBytes());
        }
    }
}
