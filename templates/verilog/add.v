// y = (a << LA) + (b << LB), or minus. W: bits, S: signed. WY bits hold every sum that occurs.
module crystal_add #(
    parameter WA = 1, parameter SA = 0, parameter LA = 0,
    parameter WB = 1, parameter SB = 0, parameter LB = 0,
    parameter MINUS = 0, parameter WY = 1
) (
    input  wire [WA-1:0] a,
    input  wire [WB-1:0] b,
    output wire [WY-1:0] y
);
    // Low bits that are not the adder's own keep Yosys from melting neighbours into one sum of many
    // operands, which takes two look-up tables a bit; a[0] ^ b[0] is one that the adder has anyway.
    localparam SPLIT = SA == 0 && SB == 0 && MINUS == 0 && WY > 1 && WY > LA && WY > LB
        && (LA == 0 || LB == 0) && WA > LB && WB > LA;
    // Each case as plain as it can be: a simulator spends its time here.
    /* verilator lint_off WIDTH */
    /* verilator lint_off UNUSED */
    generate
        if (SPLIT && LB > 0) begin : sum
            wire [WY-LB-1:0] high = a[WA-1:LB] + b;
            assign y = {high, a[LB-1:0]};
        end else if (SPLIT && LA > 0) begin : sum
            wire [WY-LA-1:0] high = a + b[WB-1:LA];
            assign y = {high, b[LA-1:0]};
        end else if (SPLIT) begin : sum
            wire [WY-1:0] full = a + b;
            assign y = {full[WY-1:1], a[0] ^ b[0]};
        end else if (SA == 0 && SB == 0) begin : sum
            assign y = (MINUS != 0) ? (a << LA) - (b << LB) : (a << LA) + (b << LB);
        end else if (SB == 0) begin : sum
            wire signed [WA-1:0] p = a;
            wire signed [WB:0] q = {1'b0, b};
            assign y = (MINUS != 0) ? (p <<< LA) - (q <<< LB) : (p <<< LA) + (q <<< LB);
        end else if (SA == 0) begin : sum
            wire signed [WA:0] p = {1'b0, a};
            wire signed [WB-1:0] q = b;
            assign y = (MINUS != 0) ? (p <<< LA) - (q <<< LB) : (p <<< LA) + (q <<< LB);
        end else begin : sum
            wire signed [WA-1:0] p = a;
            wire signed [WB-1:0] q = b;
            assign y = (MINUS != 0) ? (p <<< LA) - (q <<< LB) : (p <<< LA) + (q <<< LB);
        end
    endgenerate
    /* verilator lint_on UNUSED */
    /* verilator lint_on WIDTH */
endmodule
