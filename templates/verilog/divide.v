// q = floor(((a << SHIFT) * 2 + b') / (2 b')), b' = max(b, 1), one bit a clock. Begins when go
// rises, is done (q stands) 3 + WN + EXTRA clocks later, and holds until next. W: bits, S: signed.
module crystal_divide #(
    parameter WA = 1, parameter SA = 0, parameter WB = 1, parameter SB = 0, parameter SHIFT = 0,
    parameter WQ = 1, parameter EXTRA = 0
) (
    input  wire clk,
    input  wire rst,
    input  wire go,
    input  wire next,
    input  wire [WA-1:0] a,
    input  wire [WB-1:0] b,
    output wire done,
    output wire [WQ-1:0] q
);
    localparam WN = ((WA + SHIFT > WB) ? WA + SHIFT : WB) + 3;
    localparam [31:0] LAST = WN + EXTRA + 2;
    localparam WC = $clog2(WN + EXTRA + 3);
    reg [WC-1:0] count;
    reg negative;
    reg signed [WN-1:0] top;
    reg [WN-1:0] rest, quotient;
    /* verilator lint_off WIDTH */
    wire signed [WA:0] number = {(SA != 0) & a[WA-1], a};
    wire [WB-1:0] divisor = ((|b) & ~((SB != 0) & b[WB-1])) ? b : 1;
    wire [WB:0] twice = {divisor, 1'b0};
    wire signed [WN-1:0] first = (number <<< (SHIFT + 1)) + $signed({1'b0, divisor});
    wire signed [WN-1:0] flipped = $signed({1'b0, twice}) - 1 - top;
    wire [WN-1:0] more = {rest[WN-2:0], top[WN-1]};
    wire fits = more >= twice;
    wire [WN-1:0] signed_quotient = negative ? -quotient : quotient;
    assign q = signed_quotient;
    /* verilator lint_on WIDTH */
    wire unused_bits = &{1'b0, rest[WN-1], signed_quotient};
    assign done = go & (count == LAST[WC-1:0]);
    always @(posedge clk) begin
        if (rst | next) count <= 0;
        else if (go & ~done) count <= count + 1'b1;
        if (count == 0) top <= first;
        else if (count == 1) begin
            negative <= top[WN-1];
            top <= top[WN-1] ? flipped : top;
            rest <= 0;
            quotient <= 0;
        end else if (count <= WN + 1) begin
            rest <= fits ? more - {{(WN-WB-1){1'b0}}, twice} : more;
            quotient <= {quotient[WN-2:0], fits};
            top <= {top[WN-2:0], 1'b0};
        end
    end
endmodule
