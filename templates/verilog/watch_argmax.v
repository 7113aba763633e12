// Watches the unit of argmax, for a proof. ``held`` is the number that was taken in place ``mine``,
// any place: what holds for it holds for all. ``bad`` is 1 when one of these is broken:
// it takes N numbers, then gives once, which stays until taken; with n numbers taken, best is the
// largest of them, the first of its kind, at best_index.
module watched_argmax #(parameter N = 2, parameter W = 1, parameter S = 0, parameter WI = 1) (
    input  wire clk,
    input  wire free,
    input  wire in_valid,
    input  wire [W-1:0] in_data,
    input  wire out_ready,
    input  wire [WI-1:0] pick,
    output wire bad
);
    reg started, waited;
    reg [WI-1:0] mine, before;
    reg [WI:0] n;
    reg signed [W:0] held;
    initial {started, waited} = 0;
    wire rst = free | ~started;
    wire in_ready, out_valid;
    wire [WI-1:0] out_data, count, best_index;
    wire signed [W:0] best;
    unit dut (.clk(clk), .rst(rst), .in_valid(in_valid), .in_ready(in_ready), .in_data(in_data),
        .out_valid(out_valid), .out_ready(out_ready), .out_data(out_data),
        .count(count), .best(best), .best_index(best_index));
    wire take = in_valid & in_ready;
    wire full = n == N;
    wire known = n > mine;
    always @(posedge clk) begin
        started <= 1;
        waited <= out_valid & ~out_ready & ~rst;
        before <= out_data;
        if (rst) begin
            mine <= pick;
            n <= 0;
        end else if (take) begin
            n <= n + 1'b1;
            if (n == mine) held <= {(S != 0) & in_data[W-1], in_data};
        end else if (out_valid & out_ready) n <= 0;
    end
    wire control = n > N | out_valid != full | in_ready == full | (full ? count != 0 : count != n)
        | (waited & (~out_valid | out_data != before));
    wire largest = (n != 0 & best_index >= n) | (known & (held > best))
        | (known & (mine < best_index) & (held == best))
        | (known & (mine == best_index) & (held != best));
    assign bad = started & (control | largest | (out_data != best_index));
endmodule
